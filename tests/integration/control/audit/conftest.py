"""An audit log with two tenants' rows, covered by a checkpoint, and a hand that reaches past its triggers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from control.audit.anchor import Anchor, Anchoring
from control.audit.verify import Report, verify
from control.vault import Vault
from core.vault import AUDIT_CHECKPOINT
from core.vault_login import AppRole
from embedded.background import Background
from embedded.database import Database
from embedded.openbao import OpenBao
from embedded.vault_mount import VaultMount

A, B = UUID(int=0xA), UUID(int=0xB)
TABLES = ("audit", "audit_seals", "audit_heads", "audit_checkpoints")


@dataclass(frozen=True, slots=True)
class Log:
    pool: asyncpg.Pool[Any]
    superuser: asyncpg.Connection[Any]
    vault: Vault
    anchoring: Anchoring

    async def write(self, tenant: UUID, *actions: str) -> None:
        """Rows of one transaction."""
        async with self.pool.acquire() as connection, connection.transaction():
            for action in actions:
                await connection.execute(
                    """INSERT INTO audit (tenant_id, domain_id, hostname, actor, action, detail)
                       VALUES ($1, $1, 'bücher.example', 'control:test', $2, '{"to": "x", "n": 1.50, "from": null}')""",
                    tenant,
                    action,
                )

    async def tamper(self, statements: str) -> None:
        """As a superuser who has switched the triggers off."""
        off = "".join(f"ALTER TABLE {table} DISABLE TRIGGER ALL;" for table in TABLES)
        on = "".join(f"ALTER TABLE {table} ENABLE TRIGGER ALL;" for table in TABLES)
        await self.superuser.execute(f"{off}{statements};{on}")

    async def anchor(self) -> Anchor | None:
        stored = await self.vault.read(AUDIT_CHECKPOINT)
        return None if stored is None else Anchor.from_vault(stored.data)

    async def verify(self, tenant: UUID | None = None) -> Report:
        anchor = await self.anchor()
        async with self.pool.acquire() as connection:
            return await verify(connection, anchor, tenant)

    async def found(self) -> list[tuple[str, UUID | None, int, int]]:
        return [(one.code, one.tenant_id, one.first, one.last) for one in (await self.verify()).findings]


async def fill(log: Log) -> None:
    """Seven rows of A and three of B under two checkpoints, and one more row of A after them."""
    await log.write(A, "add", "verify")
    await log.write(A, "activate")
    await log.write(B, "add", "delete")
    await log.anchoring.anchor()
    for action in ("one", "two", "three", "four"):
        await log.write(A, action)
    await log.write(B, "ssl_revoke")
    await log.anchoring.anchor()
    await log.write(A, "last")


@asynccontextmanager
async def opened(database: Database, mount: VaultMount) -> AsyncIterator[Log]:
    vault = Vault(mount.url, mount.path, AppRole(mount.control.role_id, lambda: mount.control.secret_id))
    superuser = await asyncpg.connect(database.superuser_dsn)
    try:
        async with asyncpg.create_pool(database.control_dsn, min_size=0, max_size=8) as pool:
            yield Log(pool, superuser, vault, Anchoring(pool, vault))
    finally:
        await superuser.close()
        vault.close()


@pytest.fixture
async def log(database: Database, vault_mount: VaultMount) -> AsyncIterator[Log]:
    """A log of its own, filled."""
    async with opened(database, vault_mount) as log:
        await fill(log)
        yield log


@pytest.fixture(scope="module")
def filled(
    background: Background, database_template: Database, openbao: OpenBao
) -> Iterator[tuple[Database, VaultMount]]:
    """A log of the module's, filled, with a copy of its tables."""
    database = background.run(database_template.copy("audit_filled"))
    mount = background.run(VaultMount.create(openbao, "audit-filled"))

    async def write() -> None:
        async with opened(database, mount) as log:
            await fill(log)
            await log.superuser.execute(
                "CREATE SCHEMA kept;" + "".join(f"CREATE TABLE kept.{table} AS TABLE {table};" for table in TABLES)
            )

    background.run(write())
    yield database, mount
    background.run(mount.remove())
    background.run(database.drop())


@pytest.fixture
async def kept(filled: tuple[Database, VaultMount]) -> AsyncIterator[Log]:
    """The module's log as it was when it was filled. Only `tamper` may be used on it."""
    async with opened(*filled) as log:
        copies = "".join(f"INSERT INTO {table} OVERRIDING SYSTEM VALUE TABLE kept.{table};" for table in TABLES)
        await log.tamper(f"TRUNCATE {', '.join(TABLES)};{copies}")
        yield log
