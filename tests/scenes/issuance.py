"""Control's certificate work alone on real parts: PostgreSQL, OpenBao, Pebble, and a responder in place of sidecars."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import httpx
from prometheus_client import CollectorRegistry

from control.acme.account import Account
from control.acme.ca import Ca
from control.certificates import renewal
from control.certificates.authorities import Authorities
from control.certificates.ledger import Ledger
from control.certificates.obtain import Limits as Bounds
from control.certificates.obtain import Obtainer
from control.certificates.revoke import Revoker
from control.jobs import Job, Jobs, Outcome
from control.limits.limits import Limits
from control.vault import Vault
from control.worker import JobMetrics, Worker
from core.certificate import Certificate
from core.hostname import HostnameRules, registered_domain
from core.vault import certificate_path
from core.vault_login import AppRole
from embedded import listener
from embedded.database import Database
from embedded.dns import DnsServer
from embedded.pebble import Pebble
from embedded.ports import LOOPBACK
from embedded.vault_mount import VaultMount

OnStep = Callable[[str], None]
PATH = b"/.well-known/acme-challenge/"
WRONG = "wrong-answer"


def nothing(_step: str) -> None:
    pass


find_registered = partial(registered_domain, rules=HostnameRules("platform.test"))


def ca_of(wiring: Mapping[str, str], name: str = "test") -> Ca:
    return Ca(
        name=name,
        directory_url=wiring["directory_url"],
        contact="mailto:ops@platform.test",
        ca_file=wiring["ca_file"] or None,
    )


def renew_at(certificate: Certificate, domain_id: UUID) -> datetime:
    """As control schedules it, at 30 days before the end."""
    seed = renewal.seed_of(domain_id, certificate.serial)
    return renewal.schedule(certificate.not_before, certificate.not_after, days_before=30, window=None, seed=seed)


@dataclass(slots=True)
class Replica:
    """What one control process has: its own connections, its own memory."""

    pool: asyncpg.Pool[Any]
    vault: Vault
    authorities: Authorities
    jobs: Jobs
    ledger: Ledger

    @classmethod
    @asynccontextmanager
    async def start(
        cls, wiring: dict[str, str], name: str = "test", cas: Sequence[Ca] = (), limits: Limits | None = None
    ) -> AsyncIterator[Replica]:
        """`wiring`: see Scene.wiring; texts only, so that another process can be given them. `cas`: instead of its."""
        vault = Vault(wiring["vault"], wiring["mount"], AppRole(wiring["role_id"], lambda: wiring["secret_id"]))
        async with AsyncExitStack() as stack:
            stack.callback(vault.close)
            pool = await stack.enter_async_context(asyncpg.create_pool(wiring["dsn"], min_size=0, max_size=8))
            authorities = Authorities.of(cas or [ca_of(wiring)], vault, pool)
            stack.callback(authorities.close)
            limits = limits or Limits(find_registered)
            ledger = Ledger(pool, f"control:{name}", limits, renew_at)
            yield cls(pool, vault, authorities, Jobs(pool, name), ledger)

    @property
    def account(self) -> Account:
        """At the first CA."""
        account: Account = next(iter(self.authorities)).account
        return account

    def obtainer(self, on_step: OnStep = nothing, **arguments: Any) -> Obtainer:
        return Obtainer(self.authorities, self.vault, self.ledger, on_step=on_step, **arguments)

    def revoker(self, on_step: OnStep = nothing) -> Revoker:
        return Revoker(self.authorities, self.vault, self.pool, "control:test", on_step=on_step)

    async def claim(self, kind: str = "obtain") -> Job:
        (job,) = await self.jobs.claim(kind, 1)  # type: ignore[arg-type]  # a literal in every test
        return job

    async def obtain(self, on_step: OnStep = nothing, **arguments: Any) -> Outcome:
        """One run of the one due job."""
        job = await self.claim()
        outcome = await self.obtainer(on_step, **arguments).obtain(job)
        await self.jobs.settle(job, outcome)
        return outcome

    @asynccontextmanager
    async def working(self, concurrency: int = 4) -> AsyncIterator[Worker]:
        """Its worker of `obtain` jobs, until the block ends."""
        metrics = JobMetrics(CollectorRegistry())
        worker = Worker(self.jobs, "obtain", self.obtainer(limits=SHORT).obtain, concurrency, metrics)
        task = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def revoke(self, on_step: OnStep = nothing) -> Outcome:
        job = await self.claim("revoke")
        outcome = await self.revoker(on_step).revoke(job)
        await self.jobs.settle(job, outcome)
        return outcome


@dataclass(slots=True)
class Scene:
    """`answers`: what the responder says instead of the key authorization, by hostname."""

    database: Database
    mount: VaultMount
    pebble: Pebble
    dns: DnsServer
    zone: str
    replica: Replica
    answers: dict[str, str] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def start(
        cls, database: Database, mount: VaultMount, pebble: Pebble, dns: DnsServer, zone: str
    ) -> AsyncIterator[Scene]:
        async with AsyncExitStack() as stack:
            replica = await stack.enter_async_context(Replica.start(wire(database, mount, pebble)))
            scene = cls(database, mount, pebble, dns, zone, replica)
            sidecar = await asyncpg.create_pool(database.sidecar_dsn, min_size=0, max_size=4)
            await stack.enter_async_context(sidecar)
            responder = await asyncio.start_server(partial(scene._respond, sidecar), LOOPBACK, pebble.http_port)
            stack.push_async_callback(listener.close, responder)
            yield scene

    @property
    def wiring(self) -> dict[str, str]:
        return wire(self.database, self.mount, self.pebble)

    async def domain(self, label: str = "shop", *, status: str = "verified") -> UUID:
        """A domain whose name leads here, with an `obtain` job that is due."""
        hostname = f"{label}.{self.zone}"
        self.dns.add(hostname, "A", LOOPBACK)
        async with self.replica.pool.acquire() as connection, connection.transaction():
            tenant = await connection.fetchval(
                "INSERT INTO tenants (slug) VALUES ('t-' || gen_random_uuid()) RETURNING id"
            )
            domain_id: UUID = await connection.fetchval(
                """INSERT INTO custom_domains (tenant_id, hostname, verification_token, verify_deadline, status)
                   VALUES ($1, $2, 'token', now() + interval '72 hours', $3) RETURNING id""",
                tenant,
                hostname,
                status,
            )
            await connection.execute("INSERT INTO jobs (domain_id, kind) VALUES ($1, 'obtain')", domain_id)
        return domain_id

    async def delete(self, domain_id: UUID) -> None:
        """As the API does it, on a connection of its own, so that any event loop may call it."""
        connection = await asyncpg.connect(self.database.control_dsn)
        try:
            async with connection.transaction():
                await connection.execute("UPDATE custom_domains SET deleted_at = now() WHERE id = $1", domain_id)
                await connection.execute(
                    """INSERT INTO jobs (domain_id, kind) VALUES ($1, 'revoke') ON CONFLICT (domain_id)
                       DO UPDATE SET kind = 'revoke', run_at = now(), attempts = 0""",
                    domain_id,
                )
        finally:
            await connection.close()

    async def time_passes(self) -> None:
        """Leases run out, and what waits is due."""
        await self.replica.pool.execute("UPDATE jobs SET run_at = now(), lease_until = now()")

    async def row(self, table: str, domain_id: UUID) -> asyncpg.Record:
        """The one row of the domain."""
        column = "id" if table == "custom_domains" else "domain_id"
        (row,) = await self.replica.pool.fetch(f"SELECT * FROM {table} WHERE {column} = $1", domain_id)
        return row

    async def count(self, table: str, condition: str = "true") -> int:
        return int(await self.replica.pool.fetchval(f"SELECT count(*) FROM {table} WHERE {condition}"))

    async def finding(self, domain_id: UUID) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((await self.row("custom_domains", domain_id))["ssl_finding"])
        return found

    async def orders_at_ca(self) -> list[str]:
        """Every order of this scene's account: the Vault mount is its own, so the account is."""
        return await self.orders_at_ca_of(self.replica)

    async def orders_at_ca_of(self, replica: Replica) -> list[str]:
        client = await replica.account.client()
        return [url async for page in client.order_urls() for url in page]

    async def stored(self, domain_id: UUID) -> tuple[Certificate, int]:
        """What Envoy would be given, its key and chain checked against each other, and its version."""
        secret = await self.replica.vault.read(certificate_path(domain_id))
        assert secret is not None
        return Certificate.from_vault(dict(secret.data)), secret.version

    async def status_at_ca(self, serial: str) -> str:
        """'Valid' or 'Revoked'."""
        trust = ssl.create_default_context(cafile=str(self.pebble.ca_bundle))
        async with httpx.AsyncClient(verify=trust, trust_env=False) as client:
            base = f"https://{LOOPBACK}:{self.pebble.management_port}/cert-status-by-serial"
            return str((await client.get(f"{base}/{serial}")).json()["Status"])

    async def assert_live(self, domain_id: UUID) -> Certificate:
        """The end that every issuance must have, whatever happened on the way."""
        domain = await self.row("custom_domains", domain_id)
        assert (domain["status"], domain["ssl_status"], domain["failure_count"]) == ("active", "issued", 0)
        assert domain["ssl_finding"] is None
        certificate, version = await self.stored(domain_id)
        facts = await self.row("certificates", domain_id)
        assert domain["certificate_id"] == facts["id"]
        assert (facts["fingerprint"], facts["vault_version"]) == (certificate.fingerprint, version)
        assert domain["cert_expiry"] == certificate.not_after
        assert await self.count("challenges", f"domain_id = '{domain_id}'") == 0
        assert await self.count("acme_orders", f"domain_id = '{domain_id}' AND state = 'open'") == 0
        assert await self.count("acme_orders", f"domain_id = '{domain_id}' AND state = 'issued'") == 1
        return certificate

    async def _respond(
        self, pool: asyncpg.Pool[Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer one challenge as a sidecar does: by what PostgreSQL shows to a sidecar."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ", 2)[1]
            token = path.removeprefix(PATH).decode() if path.startswith(PATH) else ""
            row = await pool.fetchrow("SELECT key_authorization, hostname FROM challenges_v1 WHERE token = $1", token)
            body = b"" if row is None else self.answers.get(row["hostname"], row["key_authorization"]).encode()
            status = b"404 Not Found" if row is None else b"200 OK"
            writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (status, len(body)) + body)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def wire(database: Database, mount: VaultMount, pebble: Pebble) -> dict[str, str]:
    """What a replica is told at its start."""
    return {
        "dsn": database.control_dsn,
        "vault": mount.url,
        "mount": mount.path,
        "role_id": mount.control.role_id,
        "secret_id": mount.control.secret_id,
        "directory_url": pebble.directory_url,
        "ca_file": str(pebble.ca_bundle),
    }


SHORT = Bounds(ca=timedelta(seconds=20), certificate_seen=timedelta(seconds=1))
