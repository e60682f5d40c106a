"""One step of a state machine, with its audit and outbox rows in one transaction (the change row comes by trigger)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from uuid import UUID

import asyncpg

from control.db.trace import tell
from control.domains import states
from control.jobs import assert_held
from core import trace
from core.domain import COLUMNS, TABLES, Domain, Finding
from core.errors import NameplateError


class DomainGone(NameplateError):
    """The domain was deleted, or never was."""

    def __init__(self, domain_id: UUID) -> None:
        super().__init__("domain_gone", f"Domain {domain_id} is not live.")


# The column that each machine moves, and the one that keeps what its events found.
STATUS_COLUMN: Mapping[states.Machine, str] = {"domain": "status", "ssl": "ssl_status"}
FINDING_COLUMN: Mapping[states.Machine, str] = {"domain": "dns_finding", "ssl": "ssl_finding"}

# What else an event changes in the row: constant SQL, so that no caller writes to the table beside a transition.
EFFECTS: Mapping[str, str] = {
    "ownership_proven": ", failure_count = 0",
    "certificate_stored": ", failure_count = 0, ssl_finding = NULL",
    "challenge_failed": ", failure_count = failure_count + 1",
    "preflight_failed": ", failure_count = failure_count + 1",
    "failures_exceeded": ", next_attempt = NULL, warn_at = now()",
    "retry": ", failure_count = 0, dns_finding = NULL, verified_by = NULL",
    "resumed": ", failure_count = 0, warn_at = NULL",
    # What had paused by itself would have been tried again.
    "paused_by_tenant": ", next_attempt = NULL, warn_at = now(), "
    "paused_from = CASE ssl_status WHEN 'paused' THEN 'error' ELSE ssl_status END",
    **{
        event: ", failure_count = 0, ssl_finding = NULL, next_attempt = NULL, warn_at = NULL, paused_from = NULL"
        for _, event in states.SSL
        if event.startswith("back_to_")
    },
    "moved_away": ", next_attempt = NULL",
    "certificate_loaded": ", misses = 0, look_at = now() + interval '1 hour'",
}


async def load(connection: asyncpg.Connection[Any], domain_id: UUID) -> Domain | None:
    """The row as it is, deleted or not."""
    row = await connection.fetchrow(f"SELECT {COLUMNS} FROM {TABLES} WHERE d.id = $1", domain_id)  # noqa: S608 -- constants
    return None if row is None else Domain.from_row(row)


async def load_live(connection: asyncpg.Connection[Any], domain_id: UUID) -> Domain:
    """Lock and read the row. Raises DomainGone."""
    row = await connection.fetchrow(
        f"SELECT {COLUMNS} FROM {TABLES} WHERE d.id = $1 AND d.deleted_at IS NULL FOR UPDATE OF d",  # noqa: S608 -- constants
        domain_id,
    )
    if row is None:
        raise DomainGone(domain_id)
    return Domain.from_row(row)


async def apply(
    connection: asyncpg.Connection[Any],
    domain_id: UUID,
    event: str,
    actor: str,
    *,
    detail: Mapping[str, Any] | None = None,
    finding: Finding | None = None,
    lease: UUID | None = None,
) -> Domain:
    """Take one step and return the row after it. Inside a transaction of the caller. Not for uploads (control.uploads).

    `lease`: the job's lease token, checked to stand still. Raises IllegalTransition, DomainGone, LeaseLost.
    """
    with trace.span("transition", event=event, domain_id=str(domain_id)) as span:
        await tell(connection)
        before, after = await _step(connection, domain_id, event, actor, detail or {}, finding, lease)
        span.set(**{"hostname": after.hostname, "from": before, "to": _status(states.machine_of(event), after)})
        return after


async def _step(
    connection: asyncpg.Connection[Any],
    domain_id: UUID,
    event: str,
    actor: str,
    detail: Mapping[str, Any],
    finding: Finding | None,
    lease: UUID | None,
) -> tuple[str, Domain]:
    """The status before, and the row after it."""
    if lease is not None:
        await assert_held(connection, domain_id, lease)
    domain = await load_live(connection, domain_id)
    machine = states.machine_of(event)
    before = _status(machine, domain)
    step = states.step(machine, before, event)
    found = "" if finding is None else f", {FINDING_COLUMN[machine]} = $3"
    await connection.execute(
        f"UPDATE custom_domains SET {STATUS_COLUMN[machine]} = $2, updated_at = now(){EFFECTS.get(event, '')}{found} "  # noqa: S608 -- constants
        "WHERE id = $1",
        domain_id,
        step.to,
        *([] if finding is None else [finding.to_json()]),
    )
    facts = {"event": event, "from": before, "to": step.to, **detail}
    told = {}
    if finding is not None:
        facts["finding"] = finding.code
        told = {"who": finding.who, "message": finding.message}
    await record(connection, domain, step.action, actor, facts, told)
    after = await load(connection, domain_id)
    assert after is not None  # noqa: S101 -- the row is locked by this transaction
    return before, after


def _status(machine: states.Machine, domain: Domain) -> str:
    return domain.status if machine == "domain" else domain.ssl_status


async def record(
    connection: asyncpg.Connection[Any],
    domain: Domain,
    action: str,
    actor: str,
    facts: Mapping[str, Any],
    told: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """The audit row and the notification of an operation, in its transaction. `told`: for the notification alone."""
    text = json.dumps(dict(facts), default=str)
    await connection.execute(
        "INSERT INTO audit (tenant_id, domain_id, hostname, actor, action, detail) VALUES ($1, $2, $3, $4, $5, $6)",
        domain.tenant_id,
        domain.id,
        domain.hostname,
        actor,
        action,
        text,
    )
    await connection.execute(
        "INSERT INTO outbox (tenant_id, domain_id, event, payload) VALUES ($1, $2, $3, $4)",
        domain.tenant_id,
        domain.id,
        f"domain.{action}",
        json.dumps({"hostname": domain.hostname, **facts, **told}, default=str),
    )
