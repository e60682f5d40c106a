"""The scheduler of renewals on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import pytest

from control.certificates.renewals import (
    CANDIDATES,
    COUNT_OUTSTANDING,
    PICK,
    Renewals,
    replace_all,
)
from control.housekeeping import tidy
from embedded.database import Database

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
CA = "https://ca.test/dir"

Pool: TypeAlias = "asyncpg.Pool[Any]"
Holding = Callable[..., Awaitable[UUID]]


@pytest.fixture
def holding(pool: Pool, add_domain) -> Holding:
    """`await holding("a.example", due=-HOUR, left=29 * DAY)`: a domain with a certificate. Returns its id."""

    async def add(
        hostname: str,
        *,
        due: timedelta = -HOUR,
        left: timedelta = 29 * DAY,
        status: str = "active",
        ssl: str = "issued",
        job: str | None = None,
        directory: str = CA,
        serial: str = "0a",
    ) -> UUID:
        domain_id: UUID = await add_domain(hostname, job=job, status=status, ssl=ssl)
        await pool.execute(
            """WITH stored AS (
                   INSERT INTO certificates (domain_id, serial, issuer, fingerprint, not_before, not_after,
                       vault_version, directory_url)
                   VALUES ($1, $2, 'Test CA', $7, $3, $4, 1, $5) RETURNING id)
               UPDATE custom_domains SET certificate_id = (SELECT id FROM stored), cert_expiry = $4, renew_at = $6,
                   renewal_info_at = now() WHERE id = $1""",
            domain_id,
            serial,
            NOW + left - 90 * DAY,
            NOW + left,
            directory,
            NOW + due,
            sha256(domain_id.bytes).hexdigest(),
        )
        return domain_id

    return add


def renewals(pool: Pool, outstanding: int = 200) -> Renewals:
    return Renewals(pool, "control:test", lambda: NOW, outstanding, every=0.01)


async def ssl(pool: Pool) -> dict[str, str]:
    rows = await pool.fetch("SELECT hostname, ssl_status FROM custom_domains")
    return {row["hostname"]: row["ssl_status"] for row in rows}


async def test_what_is_due_becomes_expiring_with_a_job_and_an_audit_row(pool: Pool, holding: Holding) -> None:
    due = await holding("due.example")
    await holding("later.example", due=HOUR)
    assert await renewals(pool).due() == 1
    assert await ssl(pool) == {"due.example": "expiring", "later.example": "issued"}
    assert [tuple(row) for row in await pool.fetch("SELECT domain_id, kind, lease_token FROM jobs")] == [
        (due, "obtain", None)
    ]
    (audited,) = await pool.fetch("SELECT domain_id, actor, action, detail FROM audit")
    assert tuple(audited)[:3] == (due, "control:test", "ssl_expiring")
    assert json.loads(audited["detail"]) == {"event": "expiry_near", "from": "issued", "to": "expiring"}
    assert await pool.fetchval("SELECT event FROM outbox") == "domain.ssl_expiring"
    assert await renewals(pool).due() == 0


async def test_what_expires_first_is_begun_first_whatever_came_due_first(pool: Pool, holding: Holding) -> None:
    await holding("month.example", due=-5 * DAY, left=25 * DAY)
    await holding("hours.example", due=-HOUR, left=40 * HOUR, ssl="renewed")
    await holding("week.example", due=-3 * DAY, left=7 * DAY)
    begun = []
    for _ in range(3):
        assert await renewals(pool).due(1) == 1
        begun += [name for name, status in (await ssl(pool)).items() if status == "expiring" and name not in begun]
    assert begun == ["hours.example", "week.example", "month.example"]


@pytest.mark.parametrize(
    ("status", "ssl_status"),
    [
        ("moved", "issued"),
        ("active", "paused"),
        ("active", "error"),
        ("active", "expiring"),
        ("verified", "validating"),
        ("failed", "error"),
        ("verified", "issued"),
    ],
)
async def test_nothing_but_an_active_domain_with_a_whole_certificate_is_renewed(
    pool: Pool, holding: Holding, status: str, ssl_status: str
) -> None:
    await holding("a.example", status=status, ssl=ssl_status)
    assert await renewals(pool).due() == 0
    assert await pool.fetchval("SELECT count(*) FROM jobs") == 0


async def test_a_deleted_domain_is_not_renewed(pool: Pool, holding: Holding) -> None:
    await holding("a.example")
    await pool.execute("UPDATE custom_domains SET deleted_at = now()")
    assert await renewals(pool).due() == 0


@pytest.mark.parametrize("kind", ["verify", "revoke", "obtain"])
async def test_a_domain_with_other_work_is_left_until_that_is_done(pool: Pool, holding: Holding, kind: str) -> None:
    await holding("busy.example", left=DAY, job=kind)
    await holding("free.example")
    assert await renewals(pool).due() == 1
    assert await ssl(pool) == {"busy.example": "issued", "free.example": "expiring"}
    await pool.execute("DELETE FROM jobs")
    assert await renewals(pool).due() == 1
    assert (await ssl(pool))["busy.example"] == "expiring"


async def test_no_more_than_the_given_number_are_outstanding(pool: Pool, holding: Holding) -> None:
    for number in range(6):
        await holding(f"{number}.example")
    assert await renewals(pool, outstanding=4).due() == 4
    assert await renewals(pool, outstanding=4).due() == 0
    await pool.execute(
        """UPDATE custom_domains SET ssl_status = 'renewed', renew_at = $1
           WHERE id = (SELECT domain_id FROM jobs ORDER BY domain_id LIMIT 1)""",
        NOW + 60 * DAY,
    )
    assert await renewals(pool, outstanding=4).due() == 1


async def test_renewals_that_wait_for_their_own_limits_or_fail_keep_no_place(pool: Pool, holding: Holding) -> None:
    for number in range(3):
        await holding(f"{number}.example")
    assert await renewals(pool, outstanding=2).due() == 2
    rows = await pool.fetch("SELECT domain_id FROM jobs")
    await pool.execute("UPDATE jobs SET run_at = now() + interval '3 hours' WHERE domain_id = $1", rows[0]["domain_id"])
    await pool.execute("UPDATE custom_domains SET ssl_status = 'error' WHERE id = $1", rows[1]["domain_id"])
    assert await renewals(pool, outstanding=2).due() == 1


async def test_a_locked_domain_is_passed_over(pool: Pool, holding: Holding) -> None:
    held = await holding("held.example", left=DAY)
    await holding("free.example")
    async with pool.acquire() as other, other.transaction():
        await other.execute("SELECT FROM custom_domains WHERE id = $1 FOR UPDATE", held)
        assert await renewals(pool).due() == 1
    assert await ssl(pool) == {"held.example": "issued", "free.example": "expiring"}


async def test_many_replicas_begin_each_renewal_once(pool: Pool, holding: Holding) -> None:
    for number in range(30):
        await holding(f"{number}.example")
    begun = await asyncio.gather(*(renewals(pool).due() for _ in range(6)))
    assert sum(begun) == 30
    assert await pool.fetchval("SELECT count(*) FROM audit WHERE action = 'ssl_expiring'") == 30


async def test_domains_that_are_deleted_meanwhile_are_revoked_and_no_renewal_stops_the_others(
    pool: Pool, holding: Holding
) -> None:
    """As the API deletes: the job first, then the domain."""
    domains = [await holding(f"{number}.example") for number in range(24)]

    async def delete(domain_id: UUID) -> None:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(
                """INSERT INTO jobs (domain_id, kind) VALUES ($1, 'revoke')
                   ON CONFLICT (domain_id) DO UPDATE SET kind = 'revoke', run_at = now()""",
                domain_id,
            )
            await connection.execute("SELECT FROM custom_domains WHERE id = $1 FOR UPDATE", domain_id)
            await connection.execute("UPDATE custom_domains SET deleted_at = now() WHERE id = $1", domain_id)

    async def schedule() -> None:
        while await renewals(pool).due(3):
            pass

    await asyncio.gather(schedule(), schedule(), *(delete(domain_id) for domain_id in domains[::2]))
    await schedule()
    kinds = await pool.fetch(
        """SELECT j.kind, d.deleted_at IS NOT NULL AS deleted, count(*) FROM jobs j
           JOIN custom_domains d ON d.id = j.domain_id GROUP BY 1, 2"""
    )
    assert {tuple(row) for row in kinds} == {("revoke", True, 12), ("obtain", False, 12)}


async def test_what_was_renewed_between_the_look_and_the_lock_is_not_begun_again(pool: Pool, holding: Holding) -> None:
    domain_id = await holding("a.example")
    scheduler = renewals(pool)
    await pool.execute("UPDATE custom_domains SET renew_at = $1", NOW + DAY)
    assert not await scheduler._start(domain_id)
    assert await pool.fetchval("SELECT count(*) FROM jobs") == 0


async def test_the_queries_read_indices_however_many_domains_there_are(database: Database, pool: Pool) -> None:
    superuser = await asyncpg.connect(database.superuser_dsn)
    try:
        await superuser.execute("ALTER TABLE custom_domains DISABLE TRIGGER domain_change")  # no feed of 30,000
        await superuser.execute(
            """WITH tenant AS (INSERT INTO tenants (slug) VALUES ('many') RETURNING id),
               added AS (
                   INSERT INTO custom_domains (tenant_id, hostname, verification_token, verify_deadline, status,
                       ssl_status, cert_expiry, renew_at)
                   SELECT tenant.id, 'd' || n || '.example', 'token', now(), 'active',
                       CASE WHEN n % 100 = 0 THEN 'expiring' ELSE 'issued' END,
                       $1::timestamptz + n * interval '1 minute', $1::timestamptz + (n - 6000) * interval '1 minute'
                   FROM tenant, generate_series(1, 30000) AS n RETURNING id, ssl_status)
               INSERT INTO jobs (domain_id, kind)
               SELECT id, 'obtain' FROM added WHERE ssl_status = 'expiring'""".replace("$1", f"'{NOW.isoformat()}'")
        )
        await superuser.execute("ANALYZE custom_domains; ANALYZE jobs")
    finally:
        await superuser.close()
    for query, arguments in ((PICK, (NOW, CANDIDATES, 200)), (COUNT_OUTSTANDING, (200,))):
        plan = json.loads(await pool.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", *arguments))[0]["Plan"]
        touched = [
            (node["Node Type"], node.get("Relation Name"), node["Actual Rows"] * node["Actual Loops"])
            for node in nodes(plan)
        ]
        assert ("Seq Scan", "custom_domains") not in {(kind, table) for kind, table, _ in touched}, touched
        assert max(rows for _, table, rows in touched if table == "custom_domains") <= CANDIDATES
    assert await renewals(pool, outstanding=400).due(5) == 5


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", ()) for node in nodes(child))]


async def test_it_goes_on_when_postgresql_is_back(database: Database, pool: Pool, holding: Holding, eventually) -> None:
    await holding("a.example")
    task = asyncio.create_task(renewals(pool).run())
    try:
        await eventually(lambda: pool.fetchval("SELECT ssl_status = 'expiring' FROM custom_domains"))
        superuser = await asyncpg.connect(database.superuser_dsn)
        await superuser.execute(
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()"""
        )
        await superuser.close()
        mine = await asyncpg.connect(database.control_dsn)
        await mine.execute("DELETE FROM jobs")
        await mine.execute("UPDATE custom_domains SET ssl_status = 'renewed'")
        await eventually(lambda: mine.fetchval("SELECT ssl_status = 'expiring' FROM custom_domains"))
        await mine.close()
        assert not task.done()
    finally:
        task.cancel()


# --- many at once


async def test_all_certificates_of_a_ca_are_spread_over_the_time_given(pool: Pool, holding: Holding) -> None:
    far = 400 * DAY
    for number in range(12):
        await holding(f"{number}.example", due=far, left=430 * DAY, serial=f"{number:x}")
    await holding("other.example", due=far, left=430 * DAY, directory="https://other.test/dir")
    await holding("moved.example", due=far, left=430 * DAY, status="moved")
    async with pool.acquire() as connection:
        assert await replace_all(connection, within=DAY, directory_url=CA, batch=5) == 12
        times = [
            row["renew_at"]
            for row in await connection.fetch(
                "SELECT renew_at FROM custom_domains WHERE renew_at < $1", NOW + 300 * DAY
            )
        ]
        assert len(set(times)) == 12
        assert await connection.fetchval(
            "SELECT max(renew_at) FROM custom_domains WHERE hostname LIKE '_.example'"
        ) <= (await connection.fetchval("SELECT now() + interval '1 day'"))
        assert await connection.fetchval("SELECT count(*) FROM custom_domains WHERE renewal_info_at IS NULL") == 12
        # Once more, with more time: nothing moves back.
        assert await replace_all(connection, within=300 * DAY, directory_url=CA) == 12
        again = await connection.fetchval("SELECT count(*) FROM custom_domains WHERE renew_at = ANY($1)", times)
        assert again == 12


async def test_certificates_of_a_list_of_serials_or_of_an_issuer_are_replaced(pool: Pool, holding: Holding) -> None:
    for number in range(4):
        await holding(f"{number}.example", due=40 * DAY, serial=f"a{number}")
    async with pool.acquire() as connection:
        found = await replace_all(connection, within=timedelta(0), serials=frozenset({"a1", "a3", "ff"}))
        assert found == 2
        assert await replace_all(connection, within=timedelta(0), issuer="Test CA", serials=frozenset({"a2"})) == 1
        assert await replace_all(connection, within=timedelta(0), issuer="Another CA") == 0


# --- the net under it


async def test_a_renewal_that_has_lost_its_job_gets_it_back(pool: Pool, holding: Holding) -> None:
    lost = {await holding("e.example", ssl="expiring"), await holding("f.example", ssl="error")}
    await holding("i.example", ssl="issued")
    await holding("p.example", ssl="paused")
    await holding("m.example", ssl="expiring", status="moved")
    await tidy(pool)
    assert {row["domain_id"] for row in await pool.fetch("SELECT domain_id FROM jobs WHERE kind = 'obtain'")} == lost
