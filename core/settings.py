"""What the settings classes of our processes have in common. Each process reads the environment in its own class."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, FilePath, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings

from core.hostname import normalize_sni

PREFIX = "NAMEPLATE_"


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
    return value


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
    """Where Vault is, and with what AppRole the process logs in."""

    vault_addr: str = Field(pattern=r"^https?://\S+$", description="https://vault:8200")
    vault_mount: str = Field("secret", pattern=r"^[\w/-]+$", description="The KV v2 mount.")
    vault_role_id: str = Field(description="The process's own AppRole.")
    vault_secret_id: SecretStr | None = None
    vault_secret_id_file: Path | None = None
    vault_ca_file: FilePath | None = Field(None, description="Trust for Vault's TLS; default: the system's.")

    @model_validator(mode="after")
    def _one_secret_id(self) -> Self:
        if (self.vault_secret_id is None) == (self.vault_secret_id_file is None):
            raise ValueError("set one of NAMEPLATE_VAULT_SECRET_ID and NAMEPLATE_VAULT_SECRET_ID_FILE")
        return self

    def secret_id(self) -> str:
        """Read at each login, so that a rotated file is taken up without a restart. Raises OSError."""
        if self.vault_secret_id is not None:
            return self.vault_secret_id.get_secret_value()
        assert self.vault_secret_id_file is not None  # noqa: S101 -- one of the two is set
        return self.vault_secret_id_file.read_text().strip()


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
