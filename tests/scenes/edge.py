"""A sidecar process and an Envoy with envoy/static.yaml, on the session's PostgreSQL and OpenBao; no control."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Template
from uuid import UUID, uuid4

import asyncpg
import httpx

from core import vault
from core.certificate import Certificate
from embedded.browser import Browser
from embedded.database import Database
from embedded.envoy import Envoy, endpoints
from embedded.pki import Pki
from embedded.plain_http import plain_http
from embedded.ports import LOOPBACK, free_ports
from embedded.process import Process
from embedded.upstream import Upstream
from embedded.vault_mount import VaultMount

PLATFORM = "platform.test"
TEMPLATE = Path(__file__).parents[2] / "envoy" / "static.yaml"
EXT_PROC = TEMPLATE.with_name("ext_proc.yaml")
CONNECTION = TEMPLATE.with_name("connection.yaml")


@dataclass(slots=True)
class Edge:
    """`environment`: the sidecar's settings, and `command`: what starts it; change them before a start."""

    home: Path
    database: Database
    mount: VaultMount
    pki: Pki
    environment: dict[str, str] = field(repr=False)
    admin_port: int
    http_port: int = 0
    https_port: int = 0
    sidecar: Process | None = None
    envoy: Envoy | None = None
    upstream: Upstream | None = None
    command: tuple[str, ...] = (sys.executable, "-m", "sidecar")
    template: Path = TEMPLATE

    @property
    def browser(self) -> Browser:
        return Browser(self.pki.root_pem)

    @property
    def access_log(self) -> Path:
        return self.home / f"access-{self.template.stem}.log"

    @property
    def running(self) -> Process:
        assert self.sidecar is not None
        return self.sidecar

    async def start_sidecar(self) -> Process:
        self.sidecar = await Process.start(
            "sidecar",
            self.command,
            log_path=self.home / "sidecar.log",
            ready=self.is_ready,
            env=self.environment,
            cwd=TEMPLATE.parents[1],
        )
        return self.sidecar

    async def stop_sidecar(self) -> int | None:
        return None if self.sidecar is None else await self.sidecar.stop()

    async def is_ready(self) -> bool:
        try:
            return (await self.admin("/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    async def admin(self, path: str, method: str = "GET") -> httpx.Response:
        async with plain_http() as client:
            return await client.request(method, f"http://{LOOPBACK}:{self.admin_port}{path}", timeout=5)

    async def metrics(self) -> Mapping[str, float]:
        """Samples by their name and labels, as in the exposition."""
        lines = (await self.admin("/metrics")).text.splitlines()
        samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    async def add_tenant(self, slug: str) -> UUID:
        tenant_id = uuid4()
        await self._execute("INSERT INTO tenants (id, slug) VALUES ($1, $2)", tenant_id, slug)
        return tenant_id

    async def add_domain(self, tenant_id: UUID, hostname: str) -> UUID:
        """A live domain with its certificate, as control would leave it."""
        domain_id = await self.add_pending_domain(tenant_id, hostname)
        certificate_id = uuid4()
        certificate = await self._store(vault.certificate_path(domain_id), hostname)
        await self._execute(
            "INSERT INTO certificates (id, domain_id, serial, issuer, fingerprint, not_before, not_after,"
            " vault_version, directory_url) VALUES ($1, $2, $3, $4, $5, $6, $7, 1, 'https://ca.test')",
            certificate_id,
            domain_id,
            certificate.serial,
            certificate.issuer,
            certificate.fingerprint,
            certificate.not_before,
            certificate.not_after,
        )
        await self._execute(
            "UPDATE custom_domains SET status = 'active', ssl_status = 'issued', certificate_id = $1 WHERE id = $2",
            certificate_id,
            domain_id,
        )
        return domain_id

    async def add_pending_domain(self, tenant_id: UUID, hostname: str) -> UUID:
        """A verified domain that waits for its certificate."""
        domain_id = uuid4()
        await self._execute(
            "INSERT INTO custom_domains"
            " (id, tenant_id, hostname, verification_token, status, ssl_status, verify_deadline)"
            " VALUES ($1, $2, $3, 't', 'verified', 'validating', now())",
            domain_id,
            tenant_id,
            hostname,
        )
        return domain_id

    async def delete_domain(self, domain_id: UUID) -> None:
        await self._execute("UPDATE custom_domains SET deleted_at = now() WHERE id = $1", domain_id)

    async def add_challenge(self, domain_id: UUID, token: str, key_authorization: str) -> None:
        await self._execute(
            "INSERT INTO challenges (token, domain_id, key_authorization, expires_at)"
            " VALUES ($1, $2, $3, now() + interval '1 hour')",
            token,
            domain_id,
            key_authorization,
        )

    async def add_default_certificate(self) -> None:
        await self._store(vault.DEFAULT_CERTIFICATE, f"*.{PLATFORM}")

    async def exchange(self, port: int, request: bytes, *, sni: str | None = None, tls: bool = True) -> bytes:
        """Bytes to a listener, and all that comes back until it closes. Nothing is verified; `sni` may be empty."""
        context: ssl.SSLContext | None = None
        if tls:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection(
                LOOPBACK, port, ssl=context, server_hostname=(sni or "") if tls else None
            )
            try:
                writer.write(request)
                return await reader.read()
            finally:
                writer.transport.abort()

    async def _store(self, path: str, hostname: str) -> Certificate:
        issued = await self.pki.issue([hostname])
        certificate = Certificate.parse(issued.chain_pem, issued.key_pem)
        await self.mount.openbao.request(
            "POST", f"{self.mount.path}/data/{path}", {"data": certificate.to_vault(), "options": {"cas": 0}}
        )
        return certificate

    async def _execute(self, statement: str, *arguments: object) -> None:
        connection = await asyncpg.connect(self.database.control_dsn)
        try:
            await connection.execute(statement, *arguments)
        finally:
            await connection.close()


def create(home: Path, database: Database, mount: VaultMount, pki: Pki) -> Edge:
    """Nothing is running yet."""
    (admin_port,) = free_ports(1)
    return Edge(
        home=home,
        database=database,
        mount=mount,
        pki=pki,
        admin_port=admin_port,
        environment={
            "NAMEPLATE_SIDECAR_DATABASE_URL": database.sidecar_dsn,
            "NAMEPLATE_SIDECAR_ID": "edge",
            "NAMEPLATE_PLATFORM_DOMAIN": PLATFORM,
            "NAMEPLATE_VAULT_ADDR": mount.url,
            "NAMEPLATE_VAULT_MOUNT": mount.path,
            "NAMEPLATE_VAULT_ROLE_ID": mount.sidecar.role_id,
            "NAMEPLATE_VAULT_SECRET_ID": mount.sidecar.secret_id,
            "NAMEPLATE_CHECK_ADDRESS": f"unix:{home}/run/check.sock",
            "NAMEPLATE_XDS_ADDRESS": f"unix:{home}/run/xds.sock",
            "NAMEPLATE_ADMIN_LISTEN": f"{LOOPBACK}:{admin_port}",
            "NAMEPLATE_STATE_DIR": str(home / "state"),
        },
    )


@asynccontextmanager
async def serve(edge: Edge, change: Callable[[str], str] = lambda text: text) -> AsyncIterator[Edge]:
    """The sidecar, an upstream and Envoy, until the block ends. `change`: of Envoy's configuration."""
    async with AsyncExitStack() as servers:
        await edge.start_sidecar()
        servers.push_async_callback(edge.stop_sidecar)
        edge.upstream = await servers.enter_async_context(Upstream.start("platform"))
        edge.http_port, edge.https_port = free_ports(2)
        configuration = change(envoy_configuration(edge, edge.upstream.port))
        edge.envoy = await servers.enter_async_context(Envoy.start(edge.home, configuration))
        yield edge


@asynccontextmanager
async def serve_also(edge: Edge, template: Path) -> AsyncIterator[Edge]:
    """Another Envoy, with another configuration, in front of the sidecar and the upstream of one that is served."""
    assert edge.upstream is not None
    other = replace(edge, template=template)
    other.http_port, other.https_port = free_ports(2)
    configuration = envoy_configuration(other, edge.upstream.port)
    async with Envoy.start(edge.home, configuration, name=template.stem) as other.envoy:
        yield other


def envoy_configuration(edge: Edge, upstream_port: int) -> str:
    return Template(edge.template.read_text()).substitute(
        NODE_ID="edge",
        LISTEN_ADDRESS=LOOPBACK,
        HTTP_PORT=edge.http_port,
        HTTPS_PORT=edge.https_port,
        CHECK_SOCKET=edge.home / "run" / "check.sock",
        XDS_SOCKET=edge.home / "run" / "xds.sock",
        UPSTREAMS=endpoints(upstream_port),
        ACCESS_LOG=edge.access_log,
        ADMIN_ADDRESS=LOOPBACK,
        ADMIN_PORT=0,
        MAX_CLIENTS=1000,
        MAX_HEAP_BYTES=1 << 30,
    )
