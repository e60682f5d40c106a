"""Settings that cannot be used are refused at the start, and no message shows a value that may be secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from control.settings import ControlSettings
from core.settings import complaints
from core.target import MAX_TARGET_LENGTH

GOOD = {
    "NAMEPLATE_CONTROL_DATABASE_URL": "postgresql://nameplate_control:p%2Fw@a:5432,b:5433,c/nameplate",
    "NAMEPLATE_API_DATABASE_URL": "postgres:///nameplate?host=/run/postgresql&user=nameplate_api",
    "NAMEPLATE_API_LISTEN": "127.0.0.1:65535",
    "NAMEPLATE_PLATFORM_DOMAIN": "platform.test",
    "NAMEPLATE_CNAME_TARGET": "custom.platform.test.",
    "NAMEPLATE_JWT_JWKS_FILE": "/jwks.json",
    "NAMEPLATE_JWT_ISSUER": "issuer",
    "NAMEPLATE_JWT_AUDIENCE": "audience",
    "NAMEPLATE_VAULT_ADDR": "http://127.0.0.1:8200",
    "NAMEPLATE_VAULT_ROLE_ID": "role",
    "NAMEPLATE_VAULT_SECRET_ID": "hunter2",
    "NAMEPLATE_ACME_DIRECTORY_URL": "https://127.0.0.1/dir",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def read() -> ControlSettings:
    return ControlSettings()  # type: ignore[call-arg]  # from the environment


def test_what_is_right_is_taken(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    environment.setenv("NAMEPLATE_VAULT_CA_FILE", str(tmp_path / "ca.pem"))
    environment.setenv("NAMEPLATE_BLOCKED_SUFFIXES", "Internal, corp.example.,")
    settings = read()
    assert settings.blocked_suffixes == ("internal", "corp.example")
    assert settings.control_database_url.get_secret_value() == GOOD["NAMEPLATE_CONTROL_DATABASE_URL"]
    assert settings.target == "custom.platform.test", "not in normal form"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NAMEPLATE_CONTROL_DATABASE_URL", "postgresql://u:hunter2/rest@host/db"),
        ("NAMEPLATE_CONTROL_DATABASE_URL", "postgresql://u:hunter2#rest@host/db"),
        ("NAMEPLATE_CONTROL_DATABASE_URL", "postgresql://u:hunter2[@host/db"),
        ("NAMEPLATE_CONTROL_DATABASE_URL", "mysql://u:hunter2@host/db"),
        ("NAMEPLATE_API_DATABASE_URL", ""),
        ("NAMEPLATE_API_DATABASE_URL", "postgresql://u:hunter2@host:54x/db"),
        ("NAMEPLATE_API_LISTEN", "127.0.0.1:65536"),
        ("NAMEPLATE_PLATFORM_DOMAIN", "not a name"),
        ("NAMEPLATE_CNAME_TARGET", "a..b"),
        ("NAMEPLATE_VAULT_ADDR", "vault:8200"),
        ("NAMEPLATE_VAULT_CA_FILE", "/nonexistent/ca.pem"),
        ("NAMEPLATE_ACME_DIRECTORY_URL", "not a url"),
        ("NAMEPLATE_ACME_CA_FILE", "/nonexistent/ca.pem"),
        ("NAMEPLATE_BLOCKED_SUFFIXES", "corp.example, *.internal"),
        ("DOMAINS_DNS_CHECK_INTERVAL_SEC", "hunter2"),
        ("DOMAINS_VERIFY_TTL_HOURS", "nan"),
        ("DOMAINS_COOL_DOWN_HOURS", "-1"),
        ("DOMAINS_WATCH_INTERVAL_HOURS", "0"),
    ],
)
def test_what_cannot_be_used_is_refused_by_the_name_of_its_variable(
    environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    environment.setenv(name, value)
    with pytest.raises(ValidationError) as refused:
        read()
    (problem,) = refused.value.errors(include_input=False, include_url=False)
    assert str(problem["loc"][0]).upper() in name
    assert "hunter2" not in problem["msg"]


def test_a_target_that_leaves_no_room_for_tenants_is_refused(environment: pytest.MonkeyPatch) -> None:
    longest = ".".join(["a" * 57] * 3 + ["b" * 56])
    assert len(longest) == MAX_TARGET_LENGTH
    environment.setenv("NAMEPLATE_CNAME_TARGET", longest)
    assert read().target == longest
    environment.setenv("NAMEPLATE_CNAME_TARGET", longest + "b")
    with pytest.raises(ValidationError, match="NAMEPLATE_CNAME_TARGET of at most 230"):
        read()


def test_one_ca_is_a_list_of_one(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("NAMEPLATE_ACME_CONTACT", "ops@platform.test")
    (ca,) = read().cas
    assert (ca.directory_url, ca.contact) == (GOOD["NAMEPLATE_ACME_DIRECTORY_URL"], "mailto:ops@platform.test")
    assert (ca.profile, ca.eab, ca.caa_identities) == (None, False, None)


def test_several_cas_stand_in_a_file(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cas.toml").write_text(
        """[[ca]]
        name = "first"
        directory_url = "https://first.example/dir"
        [[ca]]
        name = "second"
        directory_url = "https://second.example/dir"
        eab = true"""
    )
    environment.delenv("NAMEPLATE_ACME_DIRECTORY_URL")
    environment.setenv("NAMEPLATE_ACME_CAS_FILE", str(tmp_path / "cas.toml"))
    assert [(ca.name, ca.eab) for ca in read().cas] == [("first", False), ("second", True)]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"NAMEPLATE_ACME_DIRECTORY_URL": None}, "set one of NAMEPLATE_ACME_DIRECTORY_URL and NAMEPLATE_ACME_CAS_FILE"),
        ({"NAMEPLATE_ACME_CAS_FILE": "good"}, "set one of NAMEPLATE_ACME_DIRECTORY_URL and NAMEPLATE_ACME_CAS_FILE"),
        (
            {
                "NAMEPLATE_ACME_CAS_FILE": "good",
                "NAMEPLATE_ACME_DIRECTORY_URL": None,
                "NAMEPLATE_ACME_CONTACT": "a@b.c",
            },
            "with NAMEPLATE_ACME_CAS_FILE, ca_file and contact stand in that file",
        ),
        (
            {"NAMEPLATE_ACME_CAS_FILE": "bad", "NAMEPLATE_ACME_DIRECTORY_URL": None},
            "NAMEPLATE_ACME_CAS_FILE: [[ca]] number 1: hmac: Extra inputs are not permitted",
        ),
        (
            {"NAMEPLATE_ACME_CAS_FILE": "none", "NAMEPLATE_ACME_DIRECTORY_URL": None},
            "NAMEPLATE_ACME_CAS_FILE: cannot be read: No such file or directory",
        ),
        ({"NAMEPLATE_ACME_CONTACT": "nobody"}, "NAMEPLATE_ACME_CONTACT: must be a mail address or a URL"),
    ],
)
def test_cas_that_cannot_be_used_are_refused_by_the_name_of_the_variable(
    environment: pytest.MonkeyPatch, tmp_path: Path, changes: dict[str, str | None], complaint: str
) -> None:
    good = '[[ca]]\nname = "first"\ndirectory_url = "https://first.example/dir"\n'
    (tmp_path / "good").write_text(good)
    (tmp_path / "bad").write_text(good + 'hmac = "hunter2"')
    for name, value in changes.items():
        if value is None:
            environment.delenv(name)
        else:
            environment.setenv(name, str(tmp_path / value) if name.endswith("CAS_FILE") else value)
    with pytest.raises(ValidationError) as refused:
        read()
    assert complaints(refused.value) == [complaint]
