"""Where PostgreSQL is, as the settings have it, and what is said when there is no connection."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr, ValidationError
from pydantic_settings import SettingsConfigDict

from control.db.settings import ApiDatabase, ControlDatabase
from core.database import Access, PasswordUnreadable, trouble
from core.pooled import Pooled
from core.settings import access, complaints

URL = "postgresql://nameplate_control@db/nameplate"


class Settings(ControlDatabase, ApiDatabase):
    model_config = SettingsConfigDict(env_prefix="NOT_IN_THE_ENVIRONMENT_")


def settings(**given: Any) -> Settings:
    return Settings(**{"control_database_url": URL, "api_database_url": URL.replace("control", "api"), **given})


def test_by_default_all_goes_to_one_address_and_statements_have_names() -> None:
    found = settings()
    assert found.control_access() == found.control_listen_access() == Access(URL)
    assert found.control_access().options() == {"dsn": URL}


def test_an_address_for_listening_says_that_the_others_are_a_pooler_s() -> None:
    found = settings(control_listen_database_url=URL.replace("db", "direct"))
    assert found.control_listen_access() == Access(URL.replace("db", "direct"))
    for pooled in (found.control_access(), found.api_access()):
        assert pooled.options()["connection_class"] is Pooled
        assert pooled.options()["statement_cache_size"] == 0


def test_the_password_s_file_is_the_role_s_and_is_read_each_time(tmp_path: Path) -> None:
    file = tmp_path / "password"
    found = settings(control_database_password_file=file, control_listen_database_url=URL)
    password = found.control_access().options()["password"]
    for text in ("first", "se cond\u00fc"):
        file.write_text(f"{text}\r\n")
        assert password() == found.control_listen_access().options()["password"]() == text
    file.unlink()
    with pytest.raises(PasswordUnreadable, match="No such file"):
        password()
    assert "password" not in found.api_access().options()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"control_database_url": "postgresql://u:hunter2@db/n", "control_database_password_file": "/f"},
            "one must go",
        ),
        ({"api_database_url": f"{URL}?password=hunter2", "api_database_password_file": "/f"}, "one must go"),
        ({"control_listen_database_url": "mysql://u:hunter2@db"}, "must be postgresql://"),
        ({"api_database_url": "postgresql://u:hunter2@db/n?sslmode=very"}, "its sslmode must be one of disable, allow"),
        (
            {"api_database_url": "postgresql://u:hunter2@db/n?sslmode=require&sslrootcert=/no"},
            "sslrootcert is not a file: /no",
        ),
        ({"api_database_url": "postgresql://u:hunter2@db/n?sslcert=/none.pem"}, "sslcert is not a file"),
        ({"api_database_url": "postgresql://u:hunter2@db/n?sslmode"}, "NAME=VALUE"),
    ],
)
def test_what_cannot_be_used_is_said_and_no_secret_is(given: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(**given)
    text = "\n".join(complaints(refused.value))
    assert said in text
    assert "hunter2" not in text


def test_the_password_of_a_key_is_another_one() -> None:
    url = SecretStr(f"{URL}?sslpassword=x")
    assert access("X", url, Path("/f")).password_file == Path("/f")


def test_no_password_shows() -> None:
    secret = Access("postgresql://u:hunter2@db/n")
    assert "hunter2" not in repr(secret) + repr(access("X", SecretStr(secret.url), None))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TimeoutError(), "no answer in time"),
        (ValueError("hunter2"), "the URL cannot be used (ValueError)"),
        (asyncpg.exceptions.ClientConfigurationError("invalid DSN: hunter2"), "the URL cannot be used"),
        (ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)"), "Connect call failed"),
        (PermissionError(13, "Permission denied"), "a file that the URL names, of TLS or a socket, cannot be read"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (asyncpg.ConnectionDoesNotExistError("x"), "the server hung up"),
        (asyncpg.TooManyConnectionsError("sorry, too many clients already"), "sorry, too many clients already"),
        (asyncpg.InterfaceError(""), "InterfaceError"),
    ],
)
def test_why_there_is_no_connection_is_said_in_words(error: Exception, said: str) -> None:
    assert said in trouble(error)
    assert "hunter2" not in trouble(error)


def test_no_two_names_are_alike() -> None:
    names = {Pooled._get_unique_id(None, "stmt") for _ in range(100)}
    assert len(names) == 100
