from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from control.domains.states import IllegalTransition
from control.domains.transition import DomainGone, apply
from control.jobs import Jobs, LeaseLost
from core.domain import Finding

FOUND = Finding("txt_found", "The record is there.", "nobody", datetime.now(UTC), {"found": ["verify-token"]})


async def test_a_step_writes_status_audit_and_outbox_together(pool, add_domain) -> None:
    domain_id = await add_domain("a.example")
    async with pool.acquire() as connection, connection.transaction():
        after = await apply(connection, domain_id, "record_found", "control:test", finding=FOUND)
    assert (after.status, after.dns_finding) == ("dns_check", FOUND)
    audit = await pool.fetchrow("SELECT * FROM audit WHERE domain_id = $1", domain_id)
    assert (audit["action"], audit["actor"], audit["hostname"]) == ("dns_check", "control:test", "a.example")
    assert json.loads(audit["detail"]) == {
        "event": "record_found",
        "from": "pending",
        "to": "dns_check",
        "finding": "txt_found",
    }
    assert await pool.fetchval("SELECT event FROM outbox WHERE domain_id = $1", domain_id) == "domain.dns_check"


async def test_a_step_that_becomes_visible_to_sidecars_is_in_the_change_feed_and_one_that_does_not_is_not(
    pool, add_domain
):
    domain_id = await add_domain("a.example")
    async with pool.acquire() as connection, connection.transaction():
        await apply(connection, domain_id, "record_found", "control:test")
        assert await _changes(connection) == []
        await apply(connection, domain_id, "ownership_proven", "control:test")
        assert await _changes(connection) == ["a.example"]


async def _changes(connection) -> list[str]:
    return [row["key"] for row in await connection.fetch("SELECT key FROM changes WHERE kind = 'domain'")]


async def test_a_step_that_is_not_in_the_table_changes_nothing(pool, add_domain) -> None:
    domain_id = await add_domain("a.example")
    async with pool.acquire() as connection:
        with pytest.raises(IllegalTransition):
            async with connection.transaction():
                await apply(connection, domain_id, "certificate_loaded", "control:test")
    assert await pool.fetchval("SELECT count(*) FROM audit") == 0


async def test_a_deleted_domain_takes_no_step(pool, add_domain) -> None:
    domain_id = await add_domain("a.example")
    await pool.execute("UPDATE custom_domains SET deleted_at = now()")
    async with pool.acquire() as connection, connection.transaction():
        with pytest.raises(DomainGone):
            await apply(connection, domain_id, "record_found", "control:test")


async def test_a_worker_without_the_lease_takes_no_step(pool, add_domain) -> None:
    domain_id = await add_domain("a.example")
    [job] = await Jobs(pool, "a").claim("verify", 1)
    async with pool.acquire() as connection, connection.transaction():
        with pytest.raises(LeaseLost):
            await apply(connection, domain_id, "record_found", "control:test", lease=uuid4())
        after = await apply(connection, domain_id, "record_found", "control:test", lease=job.lease_token)
    assert after.status == "dns_check"
