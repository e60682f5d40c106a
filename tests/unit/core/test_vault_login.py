"""Which login the settings choose, and what a login asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from core.settings import VaultSettings, complaints
from core.vault_login import SERVICE_ACCOUNT_TOKEN, AppRole, Kubernetes, LoginUnreadable, Request, TokenFile


class Settings(VaultSettings):
    model_config = SettingsConfigDict(env_prefix="NOT_IN_THE_ENVIRONMENT_")


def settings(**given: Any) -> Settings:
    return Settings(vault_addr="https://vault:8200", **given)


def test_each_way_is_chosen_by_its_own_setting(tmp_path: Path) -> None:
    approle = settings(vault_role_id="r", vault_secret_id="s").vault_login()
    assert isinstance(approle, AppRole)
    assert approle.next() == Request("auth/approle/login", {"role_id": "r", "secret_id": "s"})
    assert settings(vault_kubernetes_role="r").vault_login() == Kubernetes("r", SERVICE_ACCOUNT_TOKEN, "kubernetes")
    assert settings(vault_token_file=tmp_path).vault_login() == TokenFile(tmp_path)


def test_the_method_may_be_mounted_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "jwt").write_text("a.b.c\n")
    chosen = settings(
        vault_kubernetes_role="r", vault_kubernetes_token_file=tmp_path / "jwt", vault_auth_mount="clusters/eu/"
    )
    assert chosen.vault_login().next() == Request("auth/clusters/eu/login", {"role": "r", "jwt": "a.b.c"})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "set one of NAMEPLATE_VAULT_ROLE_ID (AppRole), NAMEPLATE_VAULT_KUBERNETES_ROLE and"),
        ({"vault_role_id": "r", "vault_token_file": "/t"}, "set one of NAMEPLATE_VAULT_ROLE_ID"),
        ({"vault_role_id": "r", "vault_secret_id": "hunter2", "vault_kubernetes_role": "k"}, "set one of"),
        ({"vault_role_id": "r"}, "set one of NAMEPLATE_VAULT_SECRET_ID and"),
        ({"vault_role_id": "r", "vault_secret_id": "hunter2", "vault_secret_id_file": "/f"}, "set one of"),
        ({"vault_kubernetes_role": "r", "vault_secret_id": "hunter2"}, "go with NAMEPLATE_VAULT_ROLE_ID only"),
        ({"vault_token_file": "/t", "vault_auth_mount": "m"}, "nobody logs in"),
        ({"vault_role_id": "", "vault_secret_id": "hunter2"}, "at least 1 character"),
        ({"vault_token_file": "/t", "vault_namespace": "a b"}, "pattern"),
        ({"vault_token_file": "/t", "vault_namespace": "a\r\nX-Vault-Token: x"}, "pattern"),
        ({"vault_kubernetes_role": "r", "vault_auth_mount": "../sys"}, "pattern"),
    ],
)
def test_what_does_not_fit_together_is_said_and_no_secret_is(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(**given)
    text = "\n".join(complaints(refused.value))
    assert said in text
    assert "hunter2" not in text


def test_no_secret_shows_and_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    login = AppRole("r", lambda: "hunter2")
    assert "hunter2" not in repr(login) + repr(login.next())
    (tmp_path / "token").write_text("hunter2")
    assert "hunter2" not in repr(TokenFile(tmp_path / "token").next())
    with pytest.raises(LoginUnreadable, match="No such file"):
        Kubernetes("r", tmp_path / "none").next()
    with pytest.raises(LoginUnreadable, match="secret id"):
        AppRole("r", (tmp_path / "none").read_text).next()


def test_a_file_has_another_mark_when_it_is_another(tmp_path: Path) -> None:
    file = tmp_path / "token"
    login = TokenFile(file)
    assert login.mark() is None
    file.write_text("a")
    first = login.mark()
    assert login.mark() == first
    (tmp_path / "new").write_text("a")
    (tmp_path / "new").rename(file)
    assert login.mark() != first
