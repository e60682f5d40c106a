"""A tenant's own certificates on real parts: PostgreSQL, OpenBao, and a sidecar's word that it has read of a change.

Run as a program, it uploads one pair and dies of SIGKILL after the step that it is told; the order is a line of JSON on
standard input (it holds secrets, hence not arguments).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
from scenes.hierarchy import NOW, Issued, issue

from api.auth import Principal
from api.uploads import Taken
from control.certificates.propagation import Propagation
from control.uploads.activation import Activation
from control.uploads.clearing import Clearing
from control.uploads.endings import Endings
from control.uploads.tenant import TenantUploads
from control.vault import Vault
from core.feed import Sighting
from core.vault import upload_path
from core.vault_login import AppRole
from embedded.database import Database
from embedded.vault_mount import VaultMount

VERIFY_TTL = timedelta(hours=72)
_ROOT = issue("Root", ca=True, end=NOW + timedelta(days=900))
_INTERMEDIATE = issue("Lower", _ROOT, ca=True, end=NOW + timedelta(days=400))
ROOT_PEM = _ROOT.pem


def leaf(hostname: str, **how: Any) -> Issued:
    return issue("leaf", _INTERMEDIATE, names=(hostname,), **how)


def chain(pair: Issued) -> str:
    return pair.pem + _INTERMEDIATE.pem


@dataclass(slots=True)
class Clock:
    """Time that passes when a test says so."""

    ahead: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass(slots=True)
class Uploading:
    """One sidecar is there, and says that it has read whatever there is, until `sidecar` says something else."""

    wiring: dict[str, str] = field(repr=False)
    pool: asyncpg.Pool[Any]
    vault: Vault
    uploads: TenantUploads
    propagation: Propagation
    caller: Principal
    clock: Clock

    @classmethod
    @asynccontextmanager
    async def start(cls, database: Database, mount: VaultMount, **settings: Any) -> AsyncIterator[Uploading]:
        wiring = wire(database, mount)
        async with AsyncExitStack() as stack:
            pool = await stack.enter_async_context(asyncpg.create_pool(wiring["dsn"], min_size=0, max_size=8))
            api_pool = await stack.enter_async_context(asyncpg.create_pool(wiring["api_dsn"], min_size=0, max_size=8))
            vault = vault_of(wiring)
            stack.callback(vault.close)
            clock = Clock()
            uploads = TenantUploads(api_pool, vault, VERIFY_TTL, clock, **settings)
            tenant = await pool.fetchval("INSERT INTO tenants (slug) VALUES ('acme') RETURNING id")
            uploading = cls(wiring, pool, vault, uploads, Propagation(), Principal(tenant, "alice"), clock)
            uploading.sidecar(10**15)
            yield uploading

    async def domain(self, hostname: str = "shop.example.com", *, status: str = "verified", ssl: str = "none") -> UUID:
        domain_id: UUID = await self.pool.fetchval(
            """INSERT INTO custom_domains (tenant_id, hostname, verification_token, verify_deadline, status, ssl_status)
               VALUES ($1, $2, 'token', now() + interval '72 hours', $3, $4) RETURNING id""",
            self.caller.tenant_id,
            hostname,
            status,
            ssl,
        )
        return domain_id

    async def manage(self, domain_id: UUID, lifetime: timedelta = timedelta(days=90)) -> None:
        """A managed certificate; only its facts."""
        await self.pool.execute(
            """WITH made AS (INSERT INTO certificates (domain_id, serial, issuer, fingerprint, not_before, not_after,
                   vault_version, directory_url)
                   VALUES ($1, 'ab', 'CA', repeat('f', 64), now(), $2, 1, 'https://ca.test') RETURNING id)
               UPDATE custom_domains SET certificate_id = (SELECT id FROM made), ssl_status = 'issued',
                   cert_expiry = $2 WHERE id = $1""",
            domain_id,
            self.clock() + lifetime,
        )

    async def put(self, domain_id: UUID, pair: Issued | None = None, hostname: str = "shop.example.com") -> Taken:
        pair = pair or leaf(hostname)
        return await self.uploads.put(self.caller, domain_id, chain(pair), pair.key_pem)

    async def row(self, domain_id: UUID) -> asyncpg.Record:
        return await self.pool.fetchrow("SELECT * FROM custom_domains WHERE id = $1", domain_id)

    async def announced(self, hostname: str = "shop.example.com") -> int:
        """How many changes sidecars were told of it."""
        count: int = await self.pool.fetchval("SELECT count(*) FROM changes WHERE key = $1", hostname)
        return count

    async def told(self) -> list[str]:
        """The events about uploads, in their order."""
        rows = await self.pool.fetch("SELECT event FROM outbox WHERE event LIKE '%upload%' ORDER BY id")
        return [row["event"].removeprefix("domain.") for row in rows]

    async def versions(self, domain_id: UUID) -> tuple[int, ...]:
        return await self.vault.versions(upload_path(domain_id))

    def sidecar(self, position: int) -> None:
        """One that has read every change below `position`."""
        self.propagation.heard(Sighting("one", position).to_payload())

    @property
    def endings(self) -> Endings:
        return Endings(self.pool, "control:test", self.clock)

    @property
    def activation(self) -> Activation:
        return Activation(self.pool, self.propagation, "control:test", timedelta(seconds=0.2))

    @property
    def clearing(self) -> Clearing:
        return Clearing(self.pool, self.vault, self.propagation, self.clock)


def wire(database: Database, mount: VaultMount) -> dict[str, str]:
    return {
        "dsn": database.control_dsn,
        "api_dsn": database.api_dsn,
        "vault": mount.url,
        "mount": mount.path,
        "role_id": mount.control.role_id,
        "secret_id": mount.control.secret_id,
    }


def vault_of(wiring: dict[str, str]) -> Vault:
    return Vault(wiring["vault"], wiring["mount"], AppRole(wiring["role_id"], lambda: wiring["secret_id"]))


async def killed_after(step: str, uploading: Uploading, domain_id: UUID, pair: Issued) -> signal.Signals | None:
    """Another process uploads the pair; the signal that ended it, None if it came to its end."""
    order = {
        "wiring": uploading.wiring,
        "tenant": str(uploading.caller.tenant_id),
        "domain": str(domain_id),
        "chain": chain(pair),
        "key": pair.key_pem,
        "step": step,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "scenes.uploads"),
        stdin=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    await process.communicate(json.dumps(order).encode())
    assert process.returncode is not None
    assert process.returncode <= 0, "it failed; its words are above"
    return signal.Signals(-process.returncode) if process.returncode else None


async def upload(order: dict[str, Any], on_step: Callable[[str], None]) -> None:
    vault = vault_of(order["wiring"])
    async with asyncpg.create_pool(order["wiring"]["api_dsn"], min_size=0, max_size=2) as pool:
        uploads = TenantUploads(pool, vault, VERIFY_TTL, on_step=on_step)
        caller = Principal(UUID(order["tenant"]), "alice")
        await uploads.put(caller, UUID(order["domain"]), order["chain"], order["key"])
    vault.close()


def main() -> None:
    order = json.loads(sys.stdin.read())

    def on_step(name: str) -> None:
        if name == order["step"]:
            os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(upload(order, on_step))


if __name__ == "__main__":
    main()
