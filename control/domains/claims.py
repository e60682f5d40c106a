"""Who gets a name that was proven: the step from `dns_check` to `verified`, decided beside everybody else's claims.

1. Another tenant is verified or active with it: it stays theirs, and is looked at again soon, for it may have moved.
2. Another tenant gave it up less than the cool-down ago: not yet.
3. Another tenant has it and it has moved away: it is taken from them, with its certificate, and audited on both sides.
4. Nobody has it: it is the claimant's.

One claim on a name at a time, by an advisory lock; the unique index over proven rows is the net below it. Locks are
taken in the order job, name, other tenant's job, other tenant's domain, domain.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg

from control.dns.ownership import Look
from control.domains.transition import apply, record
from control.jobs import Job, assert_held, become
from core.domain import COLUMNS, TABLES, Domain, Finding

VERIFIED_BY = {"proven_txt": "txt", "proven_cname": "cname"}
COOL_DOWN = timedelta(hours=24)  # unless the settings say otherwise
IN_USE, COOLING_DOWN = "hostname_in_use", "hostname_cooling_down"

LOCK_NAME = "SELECT pg_advisory_xact_lock(hashtextextended('nameplate hostname ' || $1, 0))"
HOLDER = """SELECT id, status FROM custom_domains
    WHERE hostname = $1 AND tenant_id <> $2 AND deleted_at IS NULL AND status IN ('verified', 'active', 'moved')"""
AVAILABLE_AT = """SELECT max(deleted_at) + $3::interval FROM custom_domains
    WHERE hostname = $1 AND tenant_id <> $2 AND deleted_at > now() - $3::interval
        AND status IN ('verified', 'active', 'moved')"""
LOOK_SOON = "SELECT look_soon($1)"
REVOKE = """INSERT INTO jobs (domain_id, kind) VALUES ($1, 'revoke')
    ON CONFLICT (domain_id) DO UPDATE SET kind = 'revoke', run_at = now(), asked = jobs.asked + 1,
        attempts = CASE WHEN jobs.kind = 'revoke' THEN jobs.attempts ELSE 0 END"""
MOVED = f"""SELECT {COLUMNS} FROM {TABLES}
    WHERE d.id = $1 AND d.deleted_at IS NULL AND d.status = 'moved' FOR UPDATE OF d"""  # noqa: S608 -- constants
RELEASE = "UPDATE custom_domains SET deleted_at = now(), updated_at = now() WHERE id = $1"

Connection: TypeAlias = "asyncpg.Connection[Any]"


async def prove(
    connection: Connection, job: Job, domain: Domain, look: Look, actor: str, cool_down: timedelta
) -> Finding | None:
    """Inside a transaction of the caller. None: proven, and the job is `obtain`. Otherwise what is in the way.

    `look`: one that proves. Raises IllegalTransition, DomainGone, LeaseLost.
    """
    await assert_held(connection, domain.id, job.lease_token)
    await connection.execute(LOCK_NAME, domain.hostname)
    holder = await connection.fetchrow(HOLDER, domain.hostname, domain.tenant_id)
    transferred = False
    if holder is None:
        available_at = await connection.fetchval(AVAILABLE_AT, domain.hostname, domain.tenant_id, cool_down)
        if available_at is not None:
            return _cooling_down(domain, look, available_at.isoformat())
    else:
        transferred = holder["status"] == "moved" and await _release(connection, holder["id"], actor)
        if not transferred:
            await connection.execute(LOOK_SOON, holder["id"])
            return _in_use(domain, look)
    by = VERIFIED_BY[look.verdict]
    detail = {"by": by}
    if transferred:
        await record(connection, domain, "transfer", actor, {"event": "transfer", "side": "receiver"})
    await apply(
        connection, domain.id, "ownership_proven", actor, detail=detail, finding=look.finding, lease=job.lease_token
    )
    await connection.execute("UPDATE custom_domains SET verified_by = $2 WHERE id = $1", domain.id, by)
    await become(connection, job, "obtain")
    return None


async def _release(connection: Connection, holder: UUID, actor: str) -> bool:
    """Take the name from a holder that has moved. False: it has come back, or was deleted, meanwhile."""
    savepoint = connection.transaction()
    await savepoint.start()
    await connection.execute(REVOKE, holder)
    row = await connection.fetchrow(MOVED, holder)
    if row is None:
        await savepoint.rollback()
        return False
    await connection.execute(RELEASE, holder)
    facts = {"event": "transfer", "side": "holder", "status": "moved"}
    await record(connection, Domain.from_row(row), "transfer", actor, facts)
    await savepoint.commit()
    return True


def _in_use(domain: Domain, look: Look) -> Finding:
    message = (
        f"The proof of {domain.hostname} is there, but another tenant of the platform uses the name; it becomes yours "
        "once its records no longer lead to that tenant, or that tenant deletes it."
    )
    return Finding(IN_USE, message, "tenant", look.finding.at, look.finding.detail)


def _cooling_down(domain: Domain, look: Look, available_at: str) -> Finding:
    message = (
        f"The proof of {domain.hostname} is there, but another tenant gave the name up a short while ago; "
        f"it can be taken from {available_at} on."
    )
    detail = {**look.finding.detail, "availableAt": available_at}
    return Finding(COOLING_DOWN, message, "nobody", look.finding.at, detail)
