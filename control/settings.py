"""The settings of control, from the environment. Nothing else in control or the API reads it.

The names of the platform's own specification (DOMAINS_…) are honoured as they are; ours begin with NAMEPLATE_.
"""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AliasChoices, Field, FilePath, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from core.settings import PREFIX, HostnameSetting, PostgresqlUrl, SuffixSetting, VaultSettings


def split_list(value: Any) -> Any:
    """'a, b' → ['a', 'b']."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class OwnerSettings(BaseSettings):
    """Of `nameplate migrate` only: control itself never has the right to change the schema."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    owner_database_url: PostgresqlUrl = Field(
        description="PostgreSQL, as a role that may create roles and own the tables."
    )


class ControlSettings(VaultSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", populate_by_name=True)

    control_database_url: PostgresqlUrl = Field(description="PostgreSQL, as role nameplate_control.")
    api_database_url: PostgresqlUrl = Field(description="PostgreSQL, as role nameplate_api.")
    api_listen: str = Field(
        "127.0.0.1:8080", pattern=r"^[^\s:]+:\d{1,5}$", description="HOST:PORT of the tenants' API."
    )
    log_level: str = Field("info", pattern=r"^(debug|info|warning|error)$")

    platform_domain: HostnameSetting = Field(
        description="The platform's own domain, e.g. platform.io: nobody can claim it."
    )
    cname_target: HostnameSetting | None = Field(
        None, description="Where tenants' CNAMEs lead; default custom.<platform domain>."
    )
    apex_ipv4: Annotated[tuple[IPv4Address, ...], NoDecode] = Field((), description="A records for apex domains.")
    apex_ipv6: Annotated[tuple[IPv6Address, ...], NoDecode] = Field((), description="AAAA records for apex domains.")
    dns_resolvers: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="ADDRESS:PORT, … of the resolvers that are asked; empty: the system's."
    )

    blocked_suffixes: Annotated[tuple[SuffixSetting, ...], NoDecode] = Field(
        (), description="Names that nobody can claim, nor a name below them."
    )

    jwt_jwks_url: str | None = Field(None, description="Where the keys of tenants' tokens are published.")
    jwt_jwks_file: Path | None = Field(None, description="The same as a file.")
    jwt_issuer: str = Field(description="The `iss` that tokens must have.")
    jwt_audience: str = Field(description="The `aud` that tokens must have.")
    jwt_tenant_claim: str = Field("tenant_id", description="The claim with the tenant's UUID.")

    acme_directory_url: str = Field(pattern=r"^https?://\S+$", description="The CA's ACME directory.")
    acme_ca_file: FilePath | None = Field(None, description="Trust for the directory's TLS; default: the system's.")
    acme_contact: str | None = Field(None, description="mailto: address for the CA.")

    dns_check_interval: timedelta = Field(
        timedelta(seconds=30),
        validation_alias=AliasChoices("DOMAINS_DNS_CHECK_INTERVAL_SEC"),
        description="Seconds between two DNS looks at a pending domain.",
    )
    verify_ttl: timedelta = Field(
        timedelta(hours=72),
        validation_alias=AliasChoices("DOMAINS_VERIFY_TTL_HOURS"),
        description="Hours that a tenant has to prove a domain.",
    )
    max_ssl_retries: int = Field(10, ge=1, validation_alias=AliasChoices("DOMAINS_MAX_SSL_RETRIES"))
    max_per_tenant: int = Field(5, ge=0, validation_alias=AliasChoices("DOMAINS_MAX_PER_TENANT"))

    @field_validator("apex_ipv4", "apex_ipv6", "dns_resolvers", "blocked_suffixes", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return split_list(value)

    @field_validator("api_listen")
    @classmethod
    def _port(cls, value: str) -> str:
        if int(value.rpartition(":")[2]) > 65535:  # the resolver takes it modulo 65,536
            raise ValueError("a port is at most 65535")
        return value

    @field_validator("dns_check_interval", mode="before")
    @classmethod
    def _seconds(cls, value: Any) -> Any:
        return positive(value, "seconds")

    @field_validator("verify_ttl", mode="before")
    @classmethod
    def _hours(cls, value: Any) -> Any:
        return positive(value, "hours")

    @model_validator(mode="after")
    def _one_key_set(self) -> Self:
        if (self.jwt_jwks_url is None) == (self.jwt_jwks_file is None):
            raise ValueError("set one of NAMEPLATE_JWT_JWKS_URL and NAMEPLATE_JWT_JWKS_FILE")
        return self

    @property
    def target(self) -> str:
        return self.cname_target or f"custom.{self.platform_domain}"


def positive(value: Any, unit: str) -> Any:
    """A number in the environment, as a timedelta."""
    if isinstance(value, timedelta):
        return value
    problem = f"must be a positive number of {unit}, less than a million"
    try:
        number = float(value)
    except ValueError:
        raise ValueError(problem) from None
    if not 0 < number < 1e6:
        raise ValueError(problem)
    return timedelta(**{unit: number})
