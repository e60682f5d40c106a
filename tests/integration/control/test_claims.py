"""Who gets a name that several tenants claim, on a real PostgreSQL; what the DNS shows is proven elsewhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from control.db import migrate as migrations
from control.dns.ownership import Look
from control.domains.claims import prove
from control.domains.transition import load
from control.jobs import Job
from core.domain import Finding
from embedded.database import Database
from embedded.postgres import Postgres

NAME = "shop.example.com"
DAY = timedelta(hours=24)
NOW = datetime(2026, 11, 1, tzinfo=UTC)
PROVEN = Look("proven_txt", Finding("txt_found", "It is there.", "nobody", NOW, {"name": "x"}))


@dataclass(slots=True)
class Room:
    pool: asyncpg.Pool[Any]

    async def claim(self, status: str = "dns_check", *, tenant: UUID | None = None, hostname: str = NAME) -> UUID:
        """A domain of a tenant of its own; what is still to be proven has its job."""
        async with self.pool.acquire() as connection, connection.transaction():
            if tenant is None:
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
            if status == "dns_check":
                await connection.execute("INSERT INTO jobs (domain_id, kind) VALUES ($1, 'verify')", domain_id)
        return domain_id

    async def prove(self, domain_id: UUID, cool_down: timedelta = DAY) -> Finding | None:
        """As the verifier does it; the job is claimed by hand, so that others' stay as they are."""
        token = await self.pool.fetchval(
            """UPDATE jobs SET lease_token = gen_random_uuid(), lease_until = now() + interval '1 minute'
               WHERE domain_id = $1 RETURNING lease_token""",
            domain_id,
        )
        async with self.pool.acquire() as connection, connection.transaction():
            domain = await load(connection, domain_id)
            assert domain is not None
            row = await connection.fetchrow("SELECT kind, attempts, asked FROM jobs WHERE domain_id = $1", domain_id)
            job = Job(domain_id, row["kind"], row["attempts"], token, row["asked"])
            return await prove(connection, job, domain, PROVEN, "control:test", cool_down)

    async def row(self, domain_id: UUID) -> asyncpg.Record:
        return await self.pool.fetchrow("SELECT * FROM custom_domains WHERE id = $1", domain_id)

    async def status(self, domain_id: UUID) -> str:
        row = await self.row(domain_id)
        return "deleted" if row["deleted_at"] else row["status"]

    async def delete(self, domain_id: UUID, ago: timedelta = timedelta(0)) -> None:
        await self.pool.execute(
            "UPDATE custom_domains SET deleted_at = now() - $2::interval WHERE id = $1", domain_id, ago
        )

    async def job(self, domain_id: UUID) -> str | None:
        return await self.pool.fetchval("SELECT kind FROM jobs WHERE domain_id = $1", domain_id)

    async def told(self, domain_id: UUID) -> list[tuple[str, dict[str, Any]]]:
        rows = await self.pool.fetch("SELECT action, detail FROM audit WHERE domain_id = $1 ORDER BY id", domain_id)
        events = await self.pool.fetch("SELECT event FROM outbox WHERE domain_id = $1 ORDER BY id", domain_id)
        assert [f"domain.{row['action']}" for row in rows] == [row["event"] for row in events]
        return [(row["action"], json.loads(row["detail"])) for row in rows]


@pytest.fixture
async def room(pool: asyncpg.Pool[Any]) -> AsyncIterator[Room]:
    yield Room(pool)


# --- uniqueness


async def test_claims_of_several_tenants_coexist_until_one_is_proven(room: Room) -> None:
    first, second, failed = await room.claim(), await room.claim(), await room.claim("failed")
    assert await room.prove(second) is None
    assert [await room.status(one) for one in (first, second, failed)] == ["dns_check", "verified", "failed"]


async def test_a_tenant_has_a_name_once(room: Room) -> None:
    first = await room.claim()
    tenant = (await room.row(first))["tenant_id"]
    with pytest.raises(asyncpg.UniqueViolationError):
        await room.claim(tenant=tenant)
    await room.delete(first)
    await room.claim(tenant=tenant)


@pytest.mark.parametrize("first", ["verified", "active", "moved"])
@pytest.mark.parametrize("second", ["verified", "active", "moved"])
async def test_a_proven_name_is_one_tenants(room: Room, first: str, second: str) -> None:
    await room.claim(first)
    with pytest.raises(asyncpg.UniqueViolationError):
        await room.claim(second)


async def test_every_tenant_has_a_target_of_its_own(room: Room) -> None:
    for _ in range(20):
        await room.claim(hostname="a.example.com")
    labels = [row["target_label"] for row in await room.pool.fetch("SELECT target_label FROM tenants")]
    assert len(set(labels)) == len(labels) == 20


# --- who wins


async def test_of_claimants_who_prove_at_once_exactly_one_wins(room: Room) -> None:
    for number in range(5):
        name = f"race{number}.example.com"
        claimants = [await room.claim(hostname=name) for _ in range(4)]
        results = await asyncio.gather(*(room.prove(claimant) for claimant in claimants))
        assert results.count(None) == 1
        assert {result.code for result in results if result} == {"hostname_in_use"}
        assert sorted([await room.status(one) for one in claimants]) == ["dns_check"] * 3 + ["verified"]
        assert sorted([str(await room.job(one)) for one in claimants]) == ["obtain"] + ["verify"] * 3


@pytest.mark.parametrize("status", ["verified", "active"])
async def test_a_name_in_use_stays_its_holders_who_is_looked_at_soon(room: Room, status: str) -> None:
    holder = await room.claim(status)
    await room.pool.execute("UPDATE custom_domains SET look_at = now() + interval '6 hours' WHERE id = $1", holder)
    claimant = await room.claim()
    finding = await room.prove(claimant)
    assert finding is not None
    assert (finding.code, finding.who) == ("hostname_in_use", "tenant")
    assert [await room.status(one) for one in (holder, claimant)] == [status, "dns_check"]
    assert await room.job(claimant) == "verify"
    if status == "active":
        assert await room.pool.fetchval("SELECT look_at <= now() FROM custom_domains WHERE id = $1", holder)


async def test_a_wish_for_a_look_waits_five_minutes_after_the_last(room: Room) -> None:
    holder = await room.claim("active")
    await room.pool.execute(
        "UPDATE custom_domains SET looked_at = now(), look_at = now() + interval '6 hours' WHERE id = $1", holder
    )
    await room.prove(await room.claim())
    row = await room.row(holder)
    assert row["look_at"] - row["looked_at"] == timedelta(minutes=5)


async def test_a_moved_name_goes_to_who_proves_it_and_both_are_told(room: Room) -> None:
    holder, claimant = await room.claim("moved"), await room.claim()
    assert await room.prove(claimant) is None
    assert [await room.status(one) for one in (holder, claimant)] == ["deleted", "verified"]
    assert [await room.job(one) for one in (holder, claimant)] == ["revoke", "obtain"]
    assert await room.told(holder) == [("transfer", {"event": "transfer", "side": "holder", "status": "moved"})]
    received, verified = await room.told(claimant)
    assert received == ("transfer", {"event": "transfer", "side": "receiver"})
    assert verified[0] == "verify"
    tenants = {str((await room.row(one))["tenant_id"]) for one in (holder, claimant)}
    told = json.dumps([await room.told(holder), await room.told(claimant)])
    assert not any(tenant in told for tenant in tenants), "neither learns who the other is"


async def test_the_new_holder_starts_without_a_certificate(room: Room) -> None:
    holder, claimant = await room.claim("moved"), await room.claim()
    await room.prove(claimant)
    row = await room.row(claimant)
    assert (row["certificate_id"], row["ssl_status"], row["verified_by"]) == (None, "none", "txt")
    changes = await room.pool.fetch("SELECT key, ended FROM changes WHERE kind = 'domain' ORDER BY id DESC LIMIT 2")
    assert (NAME, holder) in {(row["key"], row["ended"]) for row in changes}


async def test_of_two_claimants_of_a_moved_name_one_wins(room: Room) -> None:
    holder = await room.claim("moved")
    claimants = [await room.claim() for _ in range(4)]
    results = await asyncio.gather(*(room.prove(claimant) for claimant in claimants))
    assert results.count(None) == 1
    assert await room.status(holder) == "deleted"


async def test_a_moved_name_whose_work_is_under_way_is_transferred_without_a_deadlock(room: Room) -> None:
    """A worker holds the holder's job and wants its domain, while the claimant wants both."""
    holder, claimant = await room.claim("moved"), await room.claim()
    await room.pool.execute("INSERT INTO jobs (domain_id, kind) VALUES ($1, 'obtain')", holder)
    async with room.pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM jobs WHERE domain_id = $1 FOR UPDATE", holder)
        proving = asyncio.create_task(room.prove(claimant))
        await waits_for_a_lock(room)
        await connection.execute("UPDATE custom_domains SET misses = 4 WHERE id = $1", holder)
    assert await proving is None
    assert [await room.job(one) for one in (holder, claimant)] == ["revoke", "obtain"]


async def test_a_holder_that_came_back_meanwhile_keeps_the_name(room: Room) -> None:
    holder, claimant = await room.claim("moved"), await room.claim()
    async with room.pool.acquire() as connection, connection.transaction():
        await connection.execute("UPDATE custom_domains SET status = 'active' WHERE id = $1", holder)
        proving = asyncio.create_task(room.prove(claimant))
        await waits_for_a_lock(room)
    finding = await proving
    assert finding is not None
    assert finding.code == "hostname_in_use"
    assert [await room.status(one) for one in (holder, claimant)] == ["active", "dns_check"]
    assert await room.job(holder) is None, "nothing is left of the attempt"


async def waits_for_a_lock(room: Room) -> None:
    while not await room.pool.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
        await asyncio.sleep(0.01)


# --- the cool-down


@pytest.mark.parametrize("status", ["verified", "active", "moved"])
async def test_a_name_given_up_cools_down_for_others(room: Room, status: str) -> None:
    holder = await room.claim(status)
    await room.delete(holder, timedelta(hours=23))
    claimant = await room.claim()
    finding = await room.prove(claimant)
    assert finding is not None
    assert (finding.code, finding.who) == ("hostname_cooling_down", "nobody")
    released = (await room.row(holder))["deleted_at"]
    assert datetime.fromisoformat(finding.detail["availableAt"]) == released + DAY
    await room.delete(holder, timedelta(hours=25))
    assert await room.prove(claimant) is None


@pytest.mark.parametrize("status", ["pending", "dns_check", "failed"])
async def test_a_name_that_was_never_proven_does_not_cool_down(room: Room, status: str) -> None:
    await room.delete(await room.claim(status))
    assert await room.prove(await room.claim()) is None


async def test_ones_own_name_does_not_cool_down(room: Room) -> None:
    holder = await room.claim("active")
    await room.delete(holder)
    again = await room.claim(tenant=(await room.row(holder))["tenant_id"])
    assert await room.prove(again) is None


async def test_a_longer_cool_down_is_obeyed(room: Room) -> None:
    await room.delete(await room.claim("active"), timedelta(hours=25))
    finding = await room.prove(await room.claim(), cool_down=timedelta(hours=48))
    assert finding is not None
    assert finding.code == "hostname_cooling_down"


# --- what the API may know


async def state(database: Database, tenant: UUID | None, cool_down: timedelta = DAY) -> tuple[bool, datetime | None]:
    connection = await asyncpg.connect(database.api_dsn)
    try:
        if tenant is not None:
            await connection.execute("SELECT set_config('app.current_tenant', $1, false)", str(tenant))
        row = await connection.fetchrow("SELECT * FROM hostname_state_v1($1, $2)", NAME, cool_down)
        return row["taken"], row["available_at"]
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("status", "taken"),
    [
        ("pending", False),
        ("dns_check", False),
        ("failed", False),
        ("verified", True),
        ("active", True),
        ("moved", False),
    ],
)
async def test_a_name_is_taken_when_another_tenant_has_it_in_use(
    room: Room, database: Database, status: str, taken: bool
) -> None:
    holder = await room.claim(status)
    stranger = (await room.row(await room.claim(hostname="other.example.com")))["tenant_id"]
    assert await state(database, stranger) == (taken, None)
    assert await state(database, (await room.row(holder))["tenant_id"]) == (False, None)


async def test_the_end_of_the_cool_down_is_told_to_others_only(room: Room, database: Database) -> None:
    holder = await room.claim("active")
    await room.delete(holder, timedelta(hours=1))
    stranger = (await room.row(await room.claim(hostname="other.example.com")))["tenant_id"]
    released = await room.row(holder)
    assert await state(database, stranger) == (False, released["deleted_at"] + DAY)
    assert await state(database, stranger, timedelta(minutes=30)) == (False, None)
    assert await state(database, released["tenant_id"]) == (False, None)


async def test_without_a_tenant_nothing_is_told(database: Database) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await state(database, None)


async def test_asking_brings_the_look_at_the_holder_forward(room: Room, database: Database) -> None:
    holder = await room.claim("active")
    await room.pool.execute("UPDATE custom_domains SET look_at = now() + interval '6 hours'")
    stranger = (await room.row(await room.claim(hostname="other.example.com")))["tenant_id"]
    await state(database, stranger)
    assert await room.pool.fetchval("SELECT look_at <= now() FROM custom_domains WHERE id = $1", holder)


# --- the indexes that stand in for the one on all hostnames


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (
            "SELECT * FROM domains_v1 WHERE hostname = ANY ('{a.example.com,b.example.com}'::text[])",
            "idx_domains_proven",
        ),
        (
            """INSERT INTO custom_domains (tenant_id, hostname, verification_token, verify_deadline)
               VALUES (gen_random_uuid(), 'a', 'x', now()) ON CONFLICT (tenant_id, hostname) WHERE deleted_at IS NULL
               DO NOTHING""",
            "idx_domains_claims",
        ),
        (
            """SELECT max(deleted_at) FROM custom_domains WHERE hostname = 'a' AND deleted_at > now()
               AND status IN ('verified', 'active', 'moved')""",
            "idx_domains_released",
        ),
        (
            """SELECT FROM custom_domains WHERE hostname = 'a' AND deleted_at IS NULL AND status = 'dns_check'
               AND dns_finding->>'code' = 'hostname_in_use'""",
            "idx_domains_contested",
        ),
    ],
)
async def test_names_are_found_by_an_index(database: Database, query: str, index: str) -> None:
    connection = await asyncpg.connect(database.superuser_dsn)
    try:
        await connection.execute("SET enable_seqscan = off")  # of a table with a few rows a scan is right
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {query}"))
    finally:
        await connection.close()
    assert index in plan


# --- a database that was in use before


async def test_rows_of_an_earlier_release_are_kept_and_get_their_targets(
    postgres: Postgres, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"t{number}earlier"
    await postgres.create_database(name)
    try:
        everything = migrations.available()
        monkeypatch.setattr(migrations, "available", lambda: [one for one in everything if one.version < 14])
        await migrations.migrate(postgres.dsn(name))
        connection = await asyncpg.connect(postgres.dsn(name))
        await connection.execute("INSERT INTO tenants (slug) VALUES ('one'), ('two')")
        await connection.execute(
            """INSERT INTO custom_domains (tenant_id, hostname, verification_token, verify_deadline, status)
               SELECT id, slug || '.example.com', 'token', now(), 'active' FROM tenants"""
        )
        monkeypatch.setattr(migrations, "available", lambda: everything)
        await migrations.migrate(postgres.dsn(name))
        labels = {row["target_label"] for row in await connection.fetch("SELECT target_label FROM tenants")}
        assert len(labels) == 2
        assert await connection.fetchval("SELECT count(*) FROM domains_v1") == 2
        await connection.close()
    finally:
        await postgres.drop_database(name)
