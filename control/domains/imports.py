"""Registering hostnames, one or a thousand, in the caller's transaction: each has its own answer, in its order.

A refusal is an answer like any other, so one bad line spoils no other, and the same rules hold for a list and for a
single name. The number of statements does not grow with the list, and the tenant's lock is held for a moment only.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from api.auth import Principal
from api.service import (
    REGISTRATIONS_HOURS,
    DomainExists,
    DomainLimitReached,
    DomainsError,
    HostnameCoolingDown,
    HostnameTaken,
    Quota,
    RegistrationsTooMany,
)
from control.domains.tenancy import Connection, actor
from core.domain import COLUMNS, TABLES, Domain

TOKEN_BYTES = 16  # 128 bits: not to be guessed
DAY = timedelta(hours=REGISTRATIONS_HOURS)

LOCK_TENANT = "SELECT pg_advisory_xact_lock(hashtextextended('nameplate tenant ' || $1, 0))"
ADD_TENANT = "INSERT INTO tenants (id, slug) VALUES ($1, 'tenant-' || $1::uuid::text) ON CONFLICT (id) DO NOTHING"
# What was registered and deleted again counts as registered.
USAGE = """SELECT
    (SELECT max_domains FROM tenants WHERE id = $1) AS allowed,
    (SELECT count(*) FROM custom_domains WHERE tenant_id = $1 AND created_at > now() - $2::interval) AS registered"""
BY_STATUS = """SELECT status, count(*) AS domains FROM custom_domains
    WHERE tenant_id = $1 AND deleted_at IS NULL GROUP BY status"""
# When the day has one registration fewer than the $3 newest and one.
SECONDS_UNTIL_ROOM = """SELECT extract(epoch FROM created_at + $2::interval - now())::float8 FROM custom_domains
    WHERE tenant_id = $1 AND created_at > now() - $2::interval ORDER BY created_at DESC OFFSET $3 LIMIT 1"""
OWN = "SELECT hostname, id FROM custom_domains WHERE tenant_id = $1 AND deleted_at IS NULL AND hostname = ANY($2)"
HOSTNAME_STATE = "SELECT taken, available_at FROM hostname_state_v1($1, $2)"
STATES = """SELECT wanted.hostname, state.taken, state.available_at, now() AS now
    FROM unnest($1::text[]) AS wanted(hostname), hostname_state_v1(wanted.hostname, $2) AS state"""
ADD_DOMAINS = """INSERT INTO custom_domains (tenant_id, hostname, verification_token, verify_deadline)
    SELECT $1, hostname, token, now() + $4 FROM unnest($2::text[], $3::text[]) AS wanted(hostname, token)
    RETURNING id"""
LOAD = f"SELECT {COLUMNS} FROM {TABLES} WHERE d.id = ANY($1)"  # noqa: S608 -- constants
AUDIT = """INSERT INTO audit (tenant_id, domain_id, hostname, actor, action)
    SELECT $1, id, hostname, $4, 'add' FROM unnest($2::uuid[], $3::text[]) AS added(id, hostname)"""
NOTIFY = """INSERT INTO outbox (tenant_id, domain_id, event, payload)
    SELECT $1, id, 'domain.add', jsonb_build_object('hostname', hostname)
    FROM unnest($2::uuid[], $3::text[]) AS added(id, hostname)"""
REQUEST_LOOKS = "SELECT request_job_v1(id, 'verify') FROM unnest($1::uuid[]) AS added(id)"


@dataclass(frozen=True, slots=True)
class Terms:
    """`verify_ttl`: how long a tenant has to prove a domain. `max_domains`: where the tenant's plan says nothing.

    `cool_down`: how long a name that was proven is kept from other tenants once it is given up.
    """

    verify_ttl: timedelta
    max_domains: int
    cool_down: timedelta


async def quota(connection: Connection, caller: Principal, terms: Terms) -> Quota:
    usage = await connection.fetchrow(USAGE, caller.tenant_id, DAY)
    by_status = {row["status"]: row["domains"] for row in await connection.fetch(BY_STATUS, caller.tenant_id)}
    limit = terms.max_domains if usage["allowed"] is None else usage["allowed"]
    return Quota(limit, by_status, usage["registered"])


async def register(
    connection: Connection, caller: Principal, hostnames: Sequence[str], terms: Terms
) -> Sequence[Domain | DomainsError]:
    """An answer for each of `hostnames`, which are in normal form and all different."""
    await connection.execute(LOCK_TENANT, str(caller.tenant_id))
    await connection.execute(ADD_TENANT, caller.tenant_id)
    answers = await _refusals(connection, caller, hostnames, terms)
    wanted = [hostname for hostname in hostnames if hostname not in answers]
    if wanted:
        answers.update(await _add(connection, caller, wanted, terms))
    return [answers[hostname] for hostname in hostnames]


async def _refusals(
    connection: Connection, caller: Principal, hostnames: Sequence[str], terms: Terms
) -> dict[str, Domain | DomainsError]:
    """In the order of POST /domains: one's own, the plan, the day, other tenants'."""
    own: Mapping[str, UUID] = dict(
        [tuple(row) for row in await connection.fetch(OWN, caller.tenant_id, list(hostnames))]
    )
    states = {
        row["hostname"]: _other(row["taken"], row["available_at"], row["now"])
        for row in await connection.fetch(STATES, [name for name in hostnames if name not in own], terms.cool_down)
    }
    standing = await quota(connection, caller, terms)
    room, today = standing.remaining, standing.registrations_remaining
    too_many: DomainsError | None = None
    answers: dict[str, Domain | DomainsError] = {}
    for hostname in hostnames:
        if hostname in own:
            answers[hostname] = DomainExists(own[hostname])
        elif room <= 0:
            answers[hostname] = DomainLimitReached(standing.limit)
        elif today <= 0:
            too_many = too_many or await _too_many(connection, caller, standing)
            answers[hostname] = too_many
        elif (refusal := states[hostname]) is not None:
            answers[hostname] = refusal
        else:
            room, today = room - 1, today - 1
    return answers


def _other(taken: bool, available_at: datetime | None, now: datetime) -> DomainsError | None:
    """What other tenants' claims to a hostname mean for this one."""
    if taken:
        return HostnameTaken()
    if available_at is not None and available_at > now:
        return HostnameCoolingDown(math.ceil((available_at - now).total_seconds()))
    return None


async def _too_many(connection: Connection, caller: Principal, standing: Quota) -> DomainsError:
    most = standing.registrations_limit
    newest = min(most, standing.registered)  # fewer than the most, when this very request uses the day up
    seconds = await connection.fetchval(SECONDS_UNTIL_ROOM, caller.tenant_id, DAY, newest - 1) if newest else None
    return RegistrationsTooMany(most, math.ceil(DAY.total_seconds() if seconds is None else max(1.0, seconds)))


async def _add(
    connection: Connection, caller: Principal, hostnames: Sequence[str], terms: Terms
) -> Mapping[str, Domain]:
    tokens = [secrets.token_hex(TOKEN_BYTES) for _ in hostnames]
    rows = await connection.fetch(ADD_DOMAINS, caller.tenant_id, list(hostnames), tokens, terms.verify_ttl)
    added = [Domain.from_row(row) for row in await connection.fetch(LOAD, [row["id"] for row in rows])]
    ids, names = [domain.id for domain in added], [domain.hostname for domain in added]
    await connection.execute(AUDIT, caller.tenant_id, ids, names, actor(caller))
    await connection.execute(NOTIFY, caller.tenant_id, ids, names)
    await connection.execute(REQUEST_LOOKS, ids)
    return {domain.hostname: domain for domain in added}
