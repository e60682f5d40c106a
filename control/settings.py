"""The settings of control, from the environment. Nothing else in control or the API reads it.

The names of the platform's own specification (DOMAINS_…) are honoured as they are; ours begin with NAMEPLATE_.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import dns.exception
import dns.name
from dns.tsig import Key
from pydantic import AfterValidator, AliasChoices, Field, FilePath, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from control.acme.ca import Ca, Contact, DirectoryUrl, read_file
from control.db.settings import ApiDatabase, ControlDatabase, OwnerDatabase
from control.dns.resolver import Resolver
from control.dns.update import tsig_key
from control.outbox.settings import NotificationSettings
from control.ui.settings import UiSettings
from core.delegation import LONGEST_ZONE
from core.settings import PREFIX, HostnameSetting, SuffixSetting, VaultSettings
from core.target import MAX_TARGET_LENGTH
from core.trace_settings import TraceSettings


def split_list(value: Any) -> Any:
    """'a, b' → ['a', 'b']."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def server_address(value: str) -> str:
    Resolver.parse(value)
    return value


def key_name(value: str) -> str:
    try:
        dns.name.from_text(value)
    except dns.exception.DNSException:
        raise ValueError("is not a domain name, which names of TSIG keys are") from None
    return value


ServerAddress = Annotated[str, AfterValidator(server_address)]
KeyName = Annotated[str, AfterValidator(key_name)]


class OwnerSettings(OwnerDatabase):
    """Of `nameplate migrate` only: control itself never has the right to change the schema."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")


class OperatorSettings(ControlDatabase):
    """Of the commands that work on the database alone."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")


class AuditSettings(ControlDatabase, VaultSettings):
    """Of `nameplate audit`: Vault has the end of the audit log's checkpoints."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")


class ControlSettings(NotificationSettings, UiSettings, ControlDatabase, ApiDatabase, VaultSettings, TraceSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", populate_by_name=True)

    api_listen: str = Field(
        "127.0.0.1:8080",
        pattern=r"^[^\s:]+:\d{1,5}$",
        description="HOST:PORT of the REST API. Put your TLS in front, and publish "
        "all but /metrics, /livez and /readyz, which ask for no token.",
    )
    log_level: str = Field(
        "info", pattern=r"^(debug|info|warning|error)$", description="debug, info, warning or error."
    )

    platform_domain: HostnameSetting = Field(
        description="The platform's own domain, as platform.io: no tenant can claim it or a name below it."
    )
    cname_target: HostnameSetting | None = Field(
        None,
        description="Below which each tenant has a CNAME target of its own; it and `*.` below it lead to your Envoys. "
        "Default: `custom.<platform domain>`.",
    )
    apex_ipv4: Annotated[tuple[IPv4Address, ...], NoDecode] = Field((), description="A records for apex domains.")
    apex_ipv6: Annotated[tuple[IPv6Address, ...], NoDecode] = Field((), description="AAAA records for apex domains.")
    dns_resolvers: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="IP addresses, as `192.0.2.53, [2001:db8::53]:5353`, all asked at the same time. "
        "Default: the system's.",
    )

    blocked_suffixes: Annotated[tuple[SuffixSetting, ...], NoDecode] = Field(
        (), description="Other names that no tenant can claim, nor a name below them: `internal, corp.example`."
    )

    jwt_jwks_url: str | None = Field(None, description="Where the keys of tokens are published. This or the file.")
    jwt_jwks_file: Path | None = Field(None, description="The same as a file, read again when it changes.")
    jwt_issuer: str = Field(description="The `iss` that tokens must have.")
    jwt_audience: str = Field(description="The `aud` that tokens must have.")
    jwt_tenant_claim: str = Field("tenant_id", description="The claim with the tenant's UUID.")

    acme_directory_url: DirectoryUrl | None = Field(
        None, description="The CA's ACME directory. This, or NAMEPLATE_ACME_CAS_FILE."
    )
    acme_ca_file: FilePath | None = Field(None, description="Trust for the directory's TLS; default: the system's.")
    acme_contact: Contact | None = Field(None, description="A mail address for the CA.")
    acme_cas: Annotated[tuple[Ca, ...] | None, NoDecode] = Field(
        None,
        validation_alias=AliasChoices("NAMEPLATE_ACME_CAS_FILE"),
        description="A TOML file with several CAs, first choice first (docs/cas.md).",
    )

    acme_limits: Literal["letsencrypt", "none"] = Field(
        "letsencrypt", description="The CAs' rate limits, kept before an order is sent; none: of a CA of one's own."
    )
    challenge_port: int = Field(
        80, ge=1, le=65535, description="Where the CAs fetch HTTP-01 challenges; another port than 80 only for tests."
    )

    # DNS-01, which wildcards need. Without a zone it is off.
    acme_dns_zone: HostnameSetting | None = Field(
        None, description="A zone of the platform for DNS-01: tenants' CNAMEs at _acme-challenge lead into it."
    )
    acme_dns_server: ServerAddress | None = Field(None, description="ADDRESS:PORT of its primary, for updates.")
    acme_dns_servers: Annotated[tuple[ServerAddress, ...], NoDecode] = Field(
        (), description="ADDRESS:PORT, … of all its servers; empty: by its NS records."
    )
    acme_dns_tsig_name: KeyName | None = Field(None, description="The name of the TSIG key for updates.")
    acme_dns_tsig_secret: SecretStr | None = Field(None, description="Its secret, in base64.")
    acme_dns_tsig_secret_file: Path | None = Field(None, description="The same in a file, read at each update.")
    acme_dns_tsig_algorithm: Literal["hmac-sha256", "hmac-sha384", "hmac-sha512"] = Field(
        "hmac-sha256", description="Its algorithm."
    )

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
    max_ssl_retries: int = Field(
        10,
        ge=1,
        validation_alias=AliasChoices("DOMAINS_MAX_SSL_RETRIES"),
        description="Failed validations until a domain that was never served fails.",
    )
    max_per_tenant: int = Field(
        5,
        ge=0,
        validation_alias=AliasChoices("DOMAINS_MAX_PER_TENANT"),
        description="Domains of a tenant, unless `nameplate tenants limit` says otherwise; "
        "ten times as many registrations a day.",
    )
    cool_down: timedelta = Field(
        timedelta(hours=24),
        validation_alias=AliasChoices("DOMAINS_COOL_DOWN_HOURS"),
        description="Hours that a proven name is kept from other tenants once its tenant has given it up.",
    )
    watch_interval: timedelta = Field(
        timedelta(hours=6),
        validation_alias=AliasChoices("DOMAINS_WATCH_INTERVAL_HOURS"),
        description="Hours between two looks at where an active name leads.",
    )
    renew_days_before: int = Field(
        30,
        ge=1,
        le=365,
        validation_alias=AliasChoices("DOMAINS_SSL_RENEW_DAYS_BEFORE"),
        description="Days before its expiry that a certificate is renewed, a third of its lifetime at most.",
    )

    @field_validator("apex_ipv4", "apex_ipv6", "dns_resolvers", "blocked_suffixes", "acme_dns_servers", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return split_list(value)

    @field_validator("acme_cas", mode="before")
    @classmethod
    def _cas(cls, value: Any) -> Any:
        return read_file(Path(value)) if isinstance(value, str) else value

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

    @field_validator("verify_ttl", "cool_down", "watch_interval", mode="before")
    @classmethod
    def _hours(cls, value: Any) -> Any:
        return positive(value, "hours")

    @model_validator(mode="after")
    def _room_for_targets(self) -> Self:
        if len(self.target) > MAX_TARGET_LENGTH:
            raise ValueError(
                f"{self.target} is too long for tenants' targets below it: set a NAMEPLATE_CNAME_TARGET "
                f"of at most {MAX_TARGET_LENGTH} characters"
            )
        return self

    @model_validator(mode="after")
    def _one_key_set(self) -> Self:
        if (self.jwt_jwks_url is None) == (self.jwt_jwks_file is None):
            raise ValueError("set one of NAMEPLATE_JWT_JWKS_URL and NAMEPLATE_JWT_JWKS_FILE")
        return self

    @model_validator(mode="after")
    def _one_way_to_name_cas(self) -> Self:
        if (self.acme_directory_url is None) == (self.acme_cas is None):
            raise ValueError("set one of NAMEPLATE_ACME_DIRECTORY_URL and NAMEPLATE_ACME_CAS_FILE")
        if self.acme_cas is not None and (self.acme_ca_file or self.acme_contact):
            raise ValueError("with NAMEPLATE_ACME_CAS_FILE, ca_file and contact stand in that file")
        return self

    @model_validator(mode="after")
    def _whole_dns(self) -> Self:
        secrets = (self.acme_dns_tsig_secret, self.acme_dns_tsig_secret_file)
        given = (self.acme_dns_zone, self.acme_dns_server, self.acme_dns_tsig_name, self.acme_dns_servers, *secrets)
        if any(given) and not all(given[:3]):
            raise ValueError(
                "for DNS-01 set NAMEPLATE_ACME_DNS_ZONE, NAMEPLATE_ACME_DNS_SERVER and NAMEPLATE_ACME_DNS_TSIG_NAME"
            )
        if self.acme_dns_zone is None:
            return self
        if len(self.acme_dns_zone) > LONGEST_ZONE:
            raise ValueError(f"NAMEPLATE_ACME_DNS_ZONE has more than {LONGEST_ZONE} characters")
        if (secrets[0] is None) == (secrets[1] is None):
            raise ValueError("set one of NAMEPLATE_ACME_DNS_TSIG_SECRET and NAMEPLATE_ACME_DNS_TSIG_SECRET_FILE")
        if secrets[0] is not None:
            self.acme_dns_key()
        return self

    def acme_dns_key(self) -> Key:
        """The key for updates, its file read anew. Raises OSError and ValueError. Its text holds the secret."""
        secret, file = self.acme_dns_tsig_secret, self.acme_dns_tsig_secret_file
        assert self.acme_dns_tsig_name is not None  # noqa: S101 -- set if the zone is
        if secret is not None:
            text = secret.get_secret_value()
        else:
            assert file is not None  # noqa: S101 -- one of the two is set
            text = file.read_text().strip()
        return tsig_key(self.acme_dns_tsig_name, text, self.acme_dns_tsig_algorithm)

    @property
    def cas(self) -> Sequence[Ca]:
        """First choice first; at least one."""
        if self.acme_cas is not None:
            return self.acme_cas
        assert self.acme_directory_url is not None  # noqa: S101 -- one of the two is set
        return (
            Ca(
                name="ca",
                directory_url=self.acme_directory_url,
                ca_file=self.acme_ca_file,
                contact=self.acme_contact or "",
            ),
        )

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
