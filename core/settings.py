"""What the settings classes of our processes have in common. Each process reads the environment in its own class."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field, FilePath, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings

from core.database import Access
from core.hostname import normalize_sni
from core.vault_login import SERVICE_ACCOUNT_TOKEN, AppRole, Kubernetes, Login, TokenFile, secret

PREFIX = "NAMEPLATE_"
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
FILES_OF_URL = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile")
VAULT_PATH = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*/?$"


def postgresql_url(value: SecretStr) -> SecretStr:
    """Refuse what the driver would refuse, whose own message quotes a piece of the password."""
    problem = "must be postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with / ? # @ : of a password percent-encoded"
    try:
        url = urlsplit(value.get_secret_value())
    except ValueError:
        raise ValueError(problem) from None
    hosts = url.netloc.rpartition("@")[2].split(",")
    ports = [host.rpartition("]")[2].partition(":")[2] for host in hosts]
    if url.scheme not in ("postgresql", "postgres") or not all(re.fullmatch(r"\d{0,5}", port) for port in ports):
        raise ValueError(problem)
    try:
        options = dict(parse_qsl(url.query, strict_parsing=bool(url.query), keep_blank_values=True))
    except ValueError:
        raise ValueError("what follows its ? must be NAME=VALUE&…, as sslmode=verify-full") from None
    if options.get("sslmode", "prefer") not in SSL_MODES:
        raise ValueError(f"its sslmode must be one of {', '.join(SSL_MODES)}")
    for name in FILES_OF_URL:
        if name in options and not Path(options[name]).is_file():
            raise ValueError(f"its {name} is not a file: {options[name]}")
    return value


def access(role: str, url: SecretStr, password_file: Path | None, *, pooled: bool = False) -> Access:
    """`role`: of the variables' names, as CONTROL_DATABASE. Raises ValueError for two passwords."""
    text = url.get_secret_value()
    parts = urlsplit(text)
    in_url = ":" in parts.netloc.rpartition("@")[0] or "password" in dict(parse_qsl(parts.query))
    if password_file is not None and in_url:
        raise ValueError(f"{PREFIX}{role}_URL has a password, and there is a …_PASSWORD_FILE of its role: one must go")
    return Access(text, password_file, pooled)


def hostname(value: str) -> str:
    """Its normal form."""
    normal = normalize_sni(value.removesuffix("."))
    if normal is None:
        raise ValueError("is not a hostname (an international name is written with its xn-- labels)")
    return normal


def suffix(value: str) -> str:
    """The same for what stands at the end of hostnames, which may be a single label."""
    return hostname(f"x.{value}").removeprefix("x.")


PostgresqlUrl = Annotated[SecretStr, AfterValidator(postgresql_url)]
HostnameSetting = Annotated[str, AfterValidator(hostname)]
SuffixSetting = Annotated[str, AfterValidator(suffix)]


class VaultSettings(BaseSettings):
    """Where Vault is, and how the process logs in: AppRole, Kubernetes or a token in a file."""

    vault_addr: str = Field(pattern=r"^https?://\S+$", description="https://vault:8200")
    vault_mount: str = Field("secret", pattern=r"^[\w/-]+$", description="The KV v2 mount.")
    vault_namespace: str | None = Field(
        None, pattern=VAULT_PATH, description="The namespace of the mount and of the login; default: the root."
    )
    vault_ca_file: FilePath | None = Field(None, description="Trust for Vault's TLS; default: the system's.")
    vault_auth_mount: str | None = Field(
        None, pattern=VAULT_PATH, description="Where the auth method is mounted; default: approle or kubernetes."
    )
    vault_role_id: str | None = Field(None, min_length=1, description="AppRole: the process's own.")
    vault_secret_id: SecretStr | None = Field(None, description="AppRole: its secret id.")
    vault_secret_id_file: Path | None = Field(None, description="The same in a file, read at each login.")
    vault_kubernetes_role: str | None = Field(
        None, min_length=1, description="Kubernetes auth: the role that the pod's service account may have."
    )
    vault_kubernetes_token_file: Path = Field(
        SERVICE_ACCOUNT_TOKEN, description="Kubernetes auth: the service account's token, read at each login."
    )
    vault_token_file: Path | None = Field(
        None, description="A token that somebody else keeps alive, such as Vault Agent; read again when it is another."
    )

    @model_validator(mode="after")
    def _one_login(self) -> Self:
        methods = (self.vault_role_id, self.vault_kubernetes_role, self.vault_token_file)
        secret_ids = (self.vault_secret_id, self.vault_secret_id_file)
        if sum(method is not None for method in methods) != 1:
            raise ValueError(
                "set one of NAMEPLATE_VAULT_ROLE_ID (AppRole), NAMEPLATE_VAULT_KUBERNETES_ROLE and "
                "NAMEPLATE_VAULT_TOKEN_FILE: how the process logs in at Vault"
            )
        if self.vault_role_id is None and any(secret_ids):
            raise ValueError("NAMEPLATE_VAULT_SECRET_ID and …_SECRET_ID_FILE go with NAMEPLATE_VAULT_ROLE_ID only")
        if self.vault_role_id is not None and sum(secret_id is not None for secret_id in secret_ids) != 1:
            raise ValueError("set one of NAMEPLATE_VAULT_SECRET_ID and NAMEPLATE_VAULT_SECRET_ID_FILE")
        if self.vault_token_file is not None and self.vault_auth_mount is not None:
            raise ValueError("NAMEPLATE_VAULT_AUTH_MOUNT: nobody logs in with NAMEPLATE_VAULT_TOKEN_FILE")
        return self

    def vault_login(self) -> Login:
        """By what the process logs in. Whatever lies in a file is read when it is needed."""
        if self.vault_token_file is not None:
            return TokenFile(self.vault_token_file)
        if self.vault_kubernetes_role is not None:
            mount = self.vault_auth_mount or Kubernetes.MOUNT
            return Kubernetes(self.vault_kubernetes_role, self.vault_kubernetes_token_file, mount)
        assert self.vault_role_id is not None  # noqa: S101 -- one of the three is set
        return AppRole(self.vault_role_id, self._secret_id, self.vault_auth_mount or AppRole.MOUNT)

    def _secret_id(self) -> str:
        if self.vault_secret_id is not None:
            return self.vault_secret_id.get_secret_value()
        assert self.vault_secret_id_file is not None  # noqa: S101 -- one of the two is set
        return secret(self.vault_secret_id_file)


def complaints(error: ValidationError) -> Sequence[str]:
    """A line a problem: which variable and what is wrong with it, never its value."""
    lines = []
    for problem in error.errors(include_input=False, include_url=False):
        name = variable(problem["loc"])
        if problem["type"] == "missing":
            lines.append(f"{name} is not set")
        else:
            text = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{name}: {text}" if name else text)
    return lines


def variable(location: tuple[int | str, ...]) -> str:
    """('platform_domain',) → NAMEPLATE_PLATFORM_DOMAIN; those with a name of their own keep it."""
    if not location:
        return ""
    name = str(location[0])
    return name if name.isupper() else PREFIX + name.upper()
