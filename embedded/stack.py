"""The whole product on this machine: every server real, each a child process on loopback, in one directory.

browser ─▶ Envoy ─▶ two upstreams          PostgreSQL · OpenBao (Vault, and a CA) · Pebble (a CA) · DNS
             └──▶ sidecar ◀── PostgreSQL, OpenBao ──▶ control ◀── the tenants' REST API
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from embedded import debian, operator
from embedded.browser import Browser
from embedded.challenge_zone import ChallengeZone
from embedded.dns_process import DnsProcess
from embedded.envoy import Envoy
from embedded.identity import IdentityProvider
from embedded.openbao import OpenBao
from embedded.operator import command
from embedded.pebble import Pebble
from embedded.pki import Pki
from embedded.plain_http import plain_http
from embedded.ports import LOOPBACK, can_bind, free_port, free_ports
from embedded.postgres import Postgres
from embedded.process import Process, ServerFailed, children
from embedded.upstream_process import UpstreamProcess
from embedded.vault_mount import VaultMount

PLATFORM = "platform.test"
TARGET = f"custom.{PLATFORM}"
CHALLENGES = f"acme.{PLATFORM}"
MOUNT = "secret"
STOP_GRACE = 20.0

Report = Callable[[str], None]


@dataclass(slots=True)
class Stack:
    """What a test or the demo can reach, and take away. `trust`: the PEM roots of the CA and of the platform."""

    home: Path
    ca: str
    postgres: Postgres
    openbao: OpenBao
    dns: DnsProcess
    upstreams: Sequence[UpstreamProcess]
    identity: IdentityProvider
    trust: str
    control_environment: Mapping[str, str] = field(repr=False)
    sidecar_environment: Mapping[str, str] = field(repr=False)
    api_port: int
    admin_port: int
    http_port: int
    https_port: int
    pebble: Pebble | None = None
    envoy: Envoy | None = None
    control: Process | None = None
    sidecar: Process | None = None

    @property
    def api_url(self) -> str:
        return f"http://{LOOPBACK}:{self.api_port}/api/v1"

    @property
    def ui_url(self) -> str:
        return f"http://{LOOPBACK}:{self.api_port}"

    async def hand_over(self, token: str, *, operator: bool = False) -> str:
        """A link to the pages, good for a minute and once. `token`: of the tenant, or of the operator."""
        path = "admin/portal/sessions" if operator else "portal/sessions"
        async with plain_http(headers={"Authorization": f"Bearer {token}"}) as client:
            answer = await client.post(f"{self.api_url}/{path}")
        if answer.status_code != 201:
            raise ServerFailed(f"no link to the pages: {answer.status_code} {answer.text}")
        return str(answer.json()["url"])

    @property
    def admin_url(self) -> str:
        return f"http://{LOOPBACK}:{self.admin_port}"

    @property
    def browser(self) -> Browser:
        return Browser(self.trust)

    @property
    def sidecar_worker(self) -> int:
        """The id of the process that answers Envoy. Raises ServerFailed when there is none, or two for a moment."""
        workers = [] if self.sidecar is None else children(self.sidecar.pid)
        if len(workers) != 1:
            raise ServerFailed(f"{len(workers)} sidecars are running")
        return workers[0]

    def dsn(self, user: str = "postgres") -> str:
        return self.postgres.dsn("nameplate", user)

    async def start_control(self, name: str = "control", **changes: str) -> Process:
        """A control process. `changes`: settings other than the stack's, for a second replica or a short interval."""
        environment = {**self.control_environment, **changes}
        process = await Process.start(
            name,
            command("control"),
            log_path=self.home / f"{name}.log",
            ready=answers(f"http://{environment['NAMEPLATE_API_LISTEN']}/readyz"),
            env=environment,
        )
        if self.control is None or self.control.returncode is not None:
            self.control = process
        return process

    async def start_sidecar(self, *options: str) -> Process:
        """A supervisor with its worker, as operators start it."""
        self.sidecar = await Process.start(
            "sidecar",
            [*command("sidecar"), *options],
            log_path=self.home / "sidecar.log",
            ready=answers(f"{self.admin_url}/readyz"),
            env=self.sidecar_environment,
        )
        return self.sidecar


def answers(url: str) -> Callable[[], Awaitable[bool]]:
    """A probe: does the URL say 200?"""

    async def probe() -> bool:
        try:
            async with plain_http() as client:
                return (await client.get(url, timeout=5.0)).status_code == 200
        except httpx.TransportError:
            return False

    return probe


def choose_ca(wanted: str | None) -> tuple[str, str]:
    """(openbao | pebble, why). OpenBao's validator always connects to port 80."""
    if wanted is not None:
        return wanted, "asked for"
    if can_bind(80):
        return "openbao", "port 80 is free here, and there alone it asks whether a name leads here"
    return "pebble", "port 80 is not ours here, and OpenBao would ask there alone whether a name leads here"


@asynccontextmanager
async def start(
    home: Path,
    *,
    ca: str = "pebble",
    report: Report = lambda _line: None,
    validation_pause: int = 1,
    dns_01: bool = False,
    control: Mapping[str, str] | None = None,
    sidecar: Mapping[str, str] | None = None,
) -> AsyncIterator[Stack]:
    """Everything, until the block ends. `control` and `sidecar`: settings beside or other than the stack's own.

    `validation_pause`: seconds, at most, before Pebble validates. `dns_01`: with a zone for it, so also for wildcards.
    """
    async with AsyncExitStack() as servers:
        postgres = await servers.enter_async_context(Postgres.start(home))
        report(f"PostgreSQL 18 on {LOOPBACK}:{postgres.port}")
        openbao = await servers.enter_async_context(OpenBao.start(home))
        report(f"OpenBao as Vault on {openbao.url}")
        dns = await servers.enter_async_context(DnsProcess.start(home, zones=[PLATFORM]))
        for name in (TARGET, f"*.{TARGET}"):  # each tenant has a target of its own below the platform's
            await dns.add(name, "A", LOOPBACK)
        report(f"authoritative DNS on {dns.address}")
        resolver, challenges = dns.address, {"NAMEPLATE_DNS_RESOLVERS": dns.address}
        if dns_01:
            zone = await servers.enter_async_context(ChallengeZone.start(home, CHALLENGES, {"test": dns.address}))
            resolver, challenges = zone.resolver, dict(zone.settings)
            report(f"{CHALLENGES} for DNS-01 on {' and '.join(zone.knot.addresses)}")
        upstreams = [
            await servers.enter_async_context(UpstreamProcess.start(home, name))
            for name in ("platform-1", "platform-2")
        ]
        report("two upstreams on " + ", ".join(f"{LOOPBACK}:{upstream.port}" for upstream in upstreams))

        identity = IdentityProvider.create()
        (home / "jwks.json").write_text(identity.jwks())
        pki = await Pki.enable(openbao, dns_resolver=dns.address)
        trust, pebble = pki.root_pem, None
        http_port = 80 if ca == "openbao" else free_port()
        https_port, api_port, admin_port = free_ports(3)
        acme = {"NAMEPLATE_ACME_DIRECTORY_URL": pki.directory_url, "NAMEPLATE_ACME_LIMITS": "none"}
        if ca == "pebble":
            debian.ensure("pebble")
            pebble = await servers.enter_async_context(
                Pebble.start(
                    home,
                    dns_server=resolver,
                    http_port=http_port,
                    sleep_time=validation_pause or None,
                    no_sleep=validation_pause == 0,
                )
            )
            trust = f"{trust.strip()}\n{pebble.root_pem}"
            acme = {
                "NAMEPLATE_ACME_DIRECTORY_URL": pebble.directory_url,
                "NAMEPLATE_ACME_CA_FILE": str(pebble.ca_bundle),
                "NAMEPLATE_ACME_LIMITS": "none",
                "NAMEPLATE_CHALLENGE_PORT": str(http_port),
            }
        report(
            f"ACME directory of {'OpenBao' if ca == 'openbao' else 'Pebble'} on {acme['NAMEPLATE_ACME_DIRECTORY_URL']}"
        )

        mount = await VaultMount.create(openbao, MOUNT)
        await operator.store_default_certificate(openbao, pki, PLATFORM, MOUNT)
        await postgres.create_database("nameplate")
        common = {
            "NAMEPLATE_PLATFORM_DOMAIN": PLATFORM,
            "NAMEPLATE_VAULT_ADDR": openbao.url,
            "NAMEPLATE_VAULT_MOUNT": MOUNT,
        }
        stack = Stack(
            home=home,
            ca=ca,
            postgres=postgres,
            openbao=openbao,
            dns=dns,
            upstreams=upstreams,
            identity=identity,
            trust=trust,
            pebble=pebble,
            api_port=api_port,
            admin_port=admin_port,
            http_port=http_port,
            https_port=https_port,
            control_environment={
                **common,
                **acme,
                "NAMEPLATE_VAULT_ROLE_ID": mount.control.role_id,
                "NAMEPLATE_VAULT_SECRET_ID": mount.control.secret_id,
                "NAMEPLATE_CONTROL_DATABASE_URL": postgres.dsn("nameplate", "nameplate_control"),
                "NAMEPLATE_API_DATABASE_URL": postgres.dsn("nameplate", "nameplate_api"),
                "NAMEPLATE_API_LISTEN": f"{LOOPBACK}:{api_port}",
                "NAMEPLATE_UI_URL": f"http://{LOOPBACK}:{api_port}",
                "NAMEPLATE_APEX_IPV4": LOOPBACK,
                **challenges,
                "NAMEPLATE_JWT_JWKS_FILE": str(home / "jwks.json"),
                "NAMEPLATE_JWT_ISSUER": identity.issuer,
                "NAMEPLATE_JWT_AUDIENCE": identity.audience,
                **(control or {}),
            },
            sidecar_environment={
                **common,
                "NAMEPLATE_VAULT_ROLE_ID": mount.sidecar.role_id,
                "NAMEPLATE_VAULT_SECRET_ID": mount.sidecar.secret_id,
                "NAMEPLATE_SIDECAR_DATABASE_URL": postgres.dsn("nameplate", "nameplate_sidecar"),
                "NAMEPLATE_SIDECAR_ID": "sidecar-1",
                "NAMEPLATE_CHECK_ADDRESS": f"unix:{home}/run/check.sock",
                "NAMEPLATE_XDS_ADDRESS": f"unix:{home}/run/xds.sock",
                "NAMEPLATE_ADMIN_LISTEN": f"{LOOPBACK}:{admin_port}",
                "NAMEPLATE_STATE_DIR": str(home / "sidecar"),
                "NAMEPLATE_LISTEN_ADDRESS": LOOPBACK,
                "NAMEPLATE_HTTP_PORT": str(http_port),
                "NAMEPLATE_HTTPS_PORT": str(https_port),
                "NAMEPLATE_ACCESS_LOG": str(home / "access.log"),
                **(sidecar or {}),
            },
        )
        (home / "run").mkdir(mode=0o700)
        (home / "sidecar").mkdir(mode=0o700)
        servers.push_async_callback(stop_processes, stack)
        await operator.migrate(stack.dsn())
        report("database migrated: three roles, row level security forced")
        await stack.start_control()
        report(f"control, with the tenants' REST API on {stack.api_url}")
        await operator.put_default_service(
            stack.api_url, identity.operator_token(), [upstream.port for upstream in upstreams]
        )
        report("the upstreams are the service `default`, by the operators' API")
        await stack.start_sidecar()
        report(f"sidecar, with health and metrics on {stack.admin_url}")
        bootstrap = await operator.bootstrap(stack.sidecar_environment)
        stack.envoy = await servers.enter_async_context(Envoy.start(home, bootstrap))
        report(f"Envoy 1.40 on {LOOPBACK}:{http_port} (http) and {LOOPBACK}:{https_port} (https)")
        yield stack


async def stop_processes(stack: Stack) -> None:
    for process in (stack.sidecar, stack.control):
        if process is not None and process.returncode is None:
            await process.stop(STOP_GRACE)
