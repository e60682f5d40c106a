"""The settings of the sidecar, from the environment. Nothing else in the sidecar reads it."""

from __future__ import annotations

import os
import socket
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, FilePath, ValidationError, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from core.database import Access
from core.errors import NameplateError
from core.settings import PREFIX, HostnameSetting, PostgresqlUrl, VaultSettings, access, complaints
from core.trace_settings import TraceSettings
from sidecar.listen import (
    Address,
    ListenError,
    TcpAddress,
    TlsFiles,
    UnixAddress,
    parse_address,
    parse_tcp_address,
)
from sidecar.xds.resources.plan import Lane, ListenerPlan


class SettingsError(NameplateError):
    """The environment cannot be used; the message names each variable. Code: settings_invalid."""


def _address(value: Any) -> Any:
    return _explained(parse_address, value)


def _tcp_address(value: Any) -> Any:
    return _explained(parse_tcp_address, value)


def _explained(parse: Any, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse(value)
    except ListenError as error:
        raise ValueError(error.message) from error


class SidecarSettings(VaultSettings, TraceSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True, validate_default=True
    )

    sidecar_database_url: PostgresqlUrl = Field(description="PostgreSQL, as role nameplate_sidecar.")
    sidecar_database_password_file: Path | None = Field(
        None, description="That role's password, instead of in the URL; read for each connection."
    )
    sidecar_listen_database_url: PostgresqlUrl | None = Field(
        None,
        description="PostgreSQL itself, where NAMEPLATE_SIDECAR_DATABASE_URL leads to a pooler in transaction mode, "
        "such as PgBouncer (docs/postgresql.md).",
    )
    sidecar_id: str = Field(
        "",
        max_length=200,
        description="This sidecar's name among the sidecars; two must not share one, but its successor has the same. "
        "Default: HOST:PORT of this host's name and the administration's port.",
    )
    platform_domain: HostnameSetting = Field(description="The platform's own domain: <slug>.<it> leads to a tenant.")

    check_address: Annotated[Address, NoDecode, BeforeValidator(_address)] = Field(
        UnixAddress(Path("/run/nameplate/check.sock")), description="Envoy's checks: unix:PATH or HOST:PORT."
    )
    xds_address: Annotated[Address, NoDecode, BeforeValidator(_address)] = Field(
        UnixAddress(Path("/run/nameplate/xds.sock")),
        description="What Envoy is told (ADS, LDS, RDS, CDS, EDS, SDS): unix:PATH or HOST:PORT.",
    )
    tls_cert_file: FilePath | None = Field(None, description="PEM chain; the three are needed for HOST:PORT.")
    tls_key_file: FilePath | None = Field(None, description="PEM key.")
    tls_client_ca_file: FilePath | None = Field(None, description="PEM of the CA whose clients may connect.")

    lane: Lane = Field("request", description="`connection`: Envoy asks once a connection (docs/lanes.md).")
    listen_address: str = Field("0.0.0.0", description="IP address of Envoy's listeners; `::` is IPv6 and IPv4.")
    http_port: int = Field(80, ge=1, le=65535, description="Envoy's plain listener, as Envoy sees it.")
    https_port: int = Field(443, ge=1, le=65535, description="Envoy's TLS listener, as Envoy sees it.")
    proxy_protocol: bool = Field(False, description="Before Envoy is a load balancer that speaks PROXY protocol.")
    access_log: str = Field("/dev/stdout", description="A file on Envoy's machine, JSON lines; empty: none.")

    admin_listen: Annotated[TcpAddress, NoDecode, BeforeValidator(_tcp_address)] = Field(
        TcpAddress("127.0.0.1", 9902), description="HOST:PORT of /livez, /readyz, /metrics and /explain; plain HTTP."
    )
    state_dir: Path = Field(
        Path("/var/lib/nameplate"),
        description="Where the snapshots are kept: names, tenants, services, what clients must show; never keys.",
    )
    directory_capacity: int = Field(2_000_000, ge=1, description="Names in memory; above, a miss is loaded.")
    misses_per_second: int = Field(200, ge=1, description="Loads from PostgreSQL a second, at most.")
    log_level: str = Field(
        "info", pattern=r"^(debug|info|warning|error)$", description="debug, info, warning or error."
    )

    @field_validator("listen_address")
    @classmethod
    def _ip_address(cls, value: str) -> str:
        try:
            return str(ip_address(value))
        except ValueError:
            raise ValueError("is no IP address (without brackets and port)") from None

    @field_validator("access_log")
    @classmethod
    def _log_file(cls, value: str) -> str:
        if value and (not value.startswith("/") or not value.isprintable()):
            raise ValueError("is not an absolute path")
        return value

    @field_validator("state_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        if not value.is_absolute():
            raise ValueError("is not an absolute path")
        return value

    @model_validator(mode="after")
    def _together(self) -> SidecarSettings:
        files = (self.tls_cert_file, self.tls_key_file, self.tls_client_ca_file)
        tcp = any(isinstance(address, TcpAddress) for address in (self.check_address, self.xds_address))
        if any(files) != all(files) or (tcp and not all(files)):
            raise ValueError(
                "HOST:PORT for checks or secrets needs mutual TLS: set NAMEPLATE_TLS_CERT_FILE, "
                "NAMEPLATE_TLS_KEY_FILE and NAMEPLATE_TLS_CLIENT_CA_FILE"
            )
        if self.check_address == self.xds_address:
            raise ValueError("NAMEPLATE_CHECK_ADDRESS and NAMEPLATE_XDS_ADDRESS must differ")
        if self.http_port == self.https_port:
            raise ValueError("NAMEPLATE_HTTP_PORT and NAMEPLATE_HTTPS_PORT must differ")
        return self

    @model_validator(mode="after")
    def _named(self) -> SidecarSettings:
        """One host has one sidecar at a port, and the same one after a restart: control does not wait for the dead."""
        if not self.sidecar_id:
            name = f"{socket.gethostname()}:{self.admin_listen.port or os.getpid()}"
            object.__setattr__(self, "sidecar_id", name)
        return self

    @model_validator(mode="after")
    def _database(self) -> SidecarSettings:
        self.database()
        self.listen_database()
        return self

    def database(self) -> Access:
        pooled = self.sidecar_listen_database_url is not None
        return access("SIDECAR_DATABASE", self.sidecar_database_url, self.sidecar_database_password_file, pooled=pooled)

    def listen_database(self) -> Access:
        url = self.sidecar_listen_database_url or self.sidecar_database_url
        return access("SIDECAR_LISTEN_DATABASE", url, self.sidecar_database_password_file)

    def listener_plan(self) -> ListenerPlan:
        return ListenerPlan(
            self.lane, self.listen_address, self.http_port, self.https_port, self.proxy_protocol, self.access_log
        )

    def tls(self) -> TlsFiles | None:
        if self.tls_cert_file is None or self.tls_key_file is None or self.tls_client_ca_file is None:
            return None
        return TlsFiles(cert=self.tls_cert_file, key=self.tls_key_file, client_ca=self.tls_client_ca_file)


def read_settings() -> SidecarSettings:
    """From the environment. Raises SettingsError; its message has a line a problem and no values."""
    try:
        # the fields come from the environment
        return SidecarSettings()  # type: ignore[call-arg]
    except ValidationError as error:
        raise SettingsError("settings_invalid", "\n".join(complaints(error))) from None
