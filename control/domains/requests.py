"""What a tenant asks the workers to do for a domain of its own: look, try again, renew. Each inside a transaction.

A request is checked, its job asked for, the domain locked and the request checked again: the job comes before the
domain, in the order in which workers take these locks too, and a worker may have been there in between.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Literal
from uuid import UUID

from api.auth import Principal
from api.service import (
    PROVEN_STATUSES,
    DiagnosisTooSoon,
    DomainMoved,
    DomainNotActive,
    DomainNotFound,
    DomainNotPaused,
    DomainPaused,
    RenewalTooSoon,
    Requested,
    Unavailable,
    VerificationTooSoon,
)
from control.domains.tenancy import Connection, actor
from control.domains.transition import DomainGone, apply, load, load_live
from core.domain import Domain

VERIFY_PAUSE = 5.0  # seconds between two looks that one domain's tenant may ask for
DIAGNOSIS_PAUSE = 5.0  # seconds between two diagnoses of a domain
RENEW_PAUSE = 3600.0  # seconds between two renewals that a tenant asks for; the CA allows 5 of a name in 7 days

REQUEST_JOB = "SELECT request_job_v1($1, $2)"
REQUEST_CERTIFICATE = "SELECT request_certificate_v1($1)"
# A clock that was set back must not make a pause of seconds one of days.
SECONDS_SINCE = """SELECT extract(epoch FROM clock_timestamp() - max(at))::float8 FROM audit
    WHERE domain_id = $1 AND action = ANY($2) AND at <= clock_timestamp()"""
AUDIT_REQUEST = "INSERT INTO audit (tenant_id, domain_id, hostname, actor, action) VALUES ($1, $2, $3, $4, $5)"
NEW_WINDOW = "UPDATE custom_domains SET verify_deadline = now() + $2, next_attempt = NULL WHERE id = $1"
TRY_NOW = "UPDATE custom_domains SET next_attempt = NULL, updated_at = now() WHERE id = $1"
LOOK_NOW = "UPDATE custom_domains SET look_at = now() WHERE id = $1"
RENEW_NOW = "UPDATE custom_domains SET renew_at = now() WHERE id = $1"
DIAGNOSED = """SELECT extract(epoch FROM clock_timestamp() - diagnosed_at)::float8 FROM custom_domains
    WHERE id = $1 FOR UPDATE"""
DIAGNOSE = "UPDATE custom_domains SET diagnosed_at = clock_timestamp() WHERE id = $1"

# A tenant's call changes nothing about these.
WAITS_FOR_CA = frozenset({"ca_unavailable", "ca_rate_limited"})
# Nothing is to be proven. One that has moved away is looked at again, in case it has come back.
SETTLED_STATUSES = PROVEN_STATUSES - {"moved"}
VERIFY_ACTIONS = ("verify_request", "retry")
RENEW_ACTIONS = ("renew_request",)


class NothingToDo(Exception):
    """Rolls back the request for work: a worker has done it while the request waited."""

    def __init__(self, domain: Domain) -> None:
        super().__init__()
        self.domain = domain


async def find(connection: Connection, caller: Principal, domain_id: UUID) -> Domain:
    """Raises DomainNotFound, also for a deleted domain and another tenant's.

    Row level security hides those already, unless an operator gave the API a role that is above it.
    """
    domain = await load(connection, domain_id)
    if domain is None or domain.deleted_at is not None or domain.tenant_id != caller.tenant_id:
        raise DomainNotFound
    return domain


async def lock(connection: Connection, caller: Principal, domain_id: UUID) -> Domain:
    """Raises DomainNotFound."""
    try:
        domain = await load_live(connection, domain_id)
    except DomainGone:
        raise DomainNotFound from None
    if domain.tenant_id != caller.tenant_id:
        raise DomainNotFound
    return domain


async def verify(connection: Connection, caller: Principal, domain_id: UUID, verify_ttl: timedelta) -> Requested:
    """Raises what `api.service.Domains.verify` raises, and NothingToDo."""
    before = await find(connection, caller, domain_id)
    if before.status == "verified" and before.next_attempt is not None:
        return await _try_now(connection, caller, before)
    if before.status in SETTLED_STATUSES:
        return Requested(before, requested=False)
    await _check_pace(connection, domain_id)
    if before.status != "moved":
        await connection.execute(REQUEST_JOB, domain_id, "verify")
    domain = await lock(connection, caller, domain_id)
    if domain.status in SETTLED_STATUSES:
        raise NothingToDo(domain)
    if (domain.status == "moved") != (before.status == "moved"):  # other work would be wanted now
        raise Unavailable
    await _check_pace(connection, domain_id)
    if domain.status == "failed":
        await start_again(connection, caller, domain, verify_ttl)
    else:
        await _audit(connection, caller, domain, "verify_request")
        if domain.status == "moved":
            await connection.execute(LOOK_NOW, domain_id)
    return Requested(await find(connection, caller, domain_id), requested=True)


async def _try_now(connection: Connection, caller: Principal, domain: Domain) -> Requested:
    """The name is proven and its certificate waits, as for a record that its tenant says is there now.

    Not while it waits for the CA, which may have said until when.
    """
    if domain.next_attempt is not None and domain.next_attempt.code in WAITS_FOR_CA:
        return Requested(domain, requested=False)
    await _check_pace(connection, domain.id)
    await connection.execute(REQUEST_CERTIFICATE, domain.id)
    domain = await lock(connection, caller, domain.id)
    if domain.status != "verified":
        raise NothingToDo(domain)
    await _check_pace(connection, domain.id)
    await _audit(connection, caller, domain, "verify_request")
    await connection.execute(TRY_NOW, domain.id)
    return Requested(await find(connection, caller, domain.id), requested=True)


async def resume(connection: Connection, caller: Principal, domain_id: UUID, verify_ttl: timedelta) -> Domain:
    """Raises what `api.service.Domains.resume` raises."""
    wanted = _resumable(await find(connection, caller, domain_id))
    if wanted == "proof":
        await connection.execute(REQUEST_JOB, domain_id, "verify")
    else:
        await connection.execute(REQUEST_CERTIFICATE, domain_id)
    domain = await lock(connection, caller, domain_id)
    if _resumable(domain) != wanted:  # another job would be wanted now
        raise Unavailable
    if wanted == "proof":
        await start_again(connection, caller, domain, verify_ttl)
    else:
        await apply(connection, domain_id, "resumed", actor(caller))
        await connection.execute(TRY_NOW, domain_id)
    return await find(connection, caller, domain_id)


async def renew(connection: Connection, caller: Principal, domain_id: UUID) -> Requested:
    """Raises what `api.service.Domains.renew` raises, and NothingToDo."""
    domain = await find(connection, caller, domain_id)
    if _is_being_renewed(domain):
        return Requested(domain, requested=False)
    await connection.execute(REQUEST_CERTIFICATE, domain_id)
    domain = await lock(connection, caller, domain_id)
    if _is_being_renewed(domain):
        raise NothingToDo(domain)
    # Not before: whoever asks while another's request is on its way is told that the renewal is under way.
    await _check_renewal_pace(connection, domain_id)
    await _audit(connection, caller, domain, "renew_request")
    if domain.ssl_status in ("issued", "renewed"):
        await apply(connection, domain_id, "expiry_near", actor(caller), detail={"reason": "requested"})
    if domain.certificate is not None:  # else it is the first one beneath an uploaded certificate
        await connection.execute(RENEW_NOW, domain_id)
    await connection.execute(TRY_NOW, domain_id)
    return Requested(await find(connection, caller, domain_id), requested=True)


async def diagnose(connection: Connection, caller: Principal, domain_id: UUID) -> Domain:
    """Raises what `api.service.Domains.diagnose` raises."""
    domain = await find(connection, caller, domain_id)
    seconds = await connection.fetchval(DIAGNOSED, domain_id)
    if seconds is not None and 0 <= seconds < DIAGNOSIS_PAUSE:
        raise DiagnosisTooSoon(math.ceil(DIAGNOSIS_PAUSE - seconds))
    await connection.execute(DIAGNOSE, domain_id)
    return domain


def _resumable(domain: Domain) -> Literal["proof", "certificate"]:
    """What is to go on. Raises DomainsError."""
    if domain.status == "failed":
        return "proof"
    if domain.ssl_status != "paused":
        raise DomainNotPaused
    if domain.status == "moved":
        raise DomainMoved
    return "certificate"


def _is_being_renewed(domain: Domain) -> bool:
    """Raises DomainsError when there can be no renewal."""
    if domain.status == "moved":
        raise DomainMoved
    if domain.status != "active" or domain.in_use is None:
        raise DomainNotActive
    if domain.ssl_status == "paused":
        raise DomainPaused
    return domain.ssl_status in ("expiring", "validating")


async def start_again(connection: Connection, caller: Principal, domain: Domain, verify_ttl: timedelta) -> None:
    """A failed domain has a new window, and its certificate's failures are forgotten."""
    await apply(connection, domain.id, "retry", actor(caller))
    if domain.ssl_status == "paused":
        await apply(connection, domain.id, "resumed", actor(caller))
    await connection.execute(NEW_WINDOW, domain.id, verify_ttl)


async def seconds_left(connection: Connection, domain_id: UUID, actions: Sequence[str], pause: float) -> int | None:
    """Whole seconds, at least 1, until one of the actions may be asked for again; None: now."""
    seconds = await connection.fetchval(SECONDS_SINCE, domain_id, list(actions))
    return None if seconds is None or seconds >= pause else math.ceil(pause - seconds)


async def _check_pace(connection: Connection, domain_id: UUID) -> None:
    """Raises VerificationTooSoon."""
    left = await seconds_left(connection, domain_id, VERIFY_ACTIONS, VERIFY_PAUSE)
    if left is not None:
        raise VerificationTooSoon(left)


async def _check_renewal_pace(connection: Connection, domain_id: UUID) -> None:
    """Raises RenewalTooSoon."""
    left = await seconds_left(connection, domain_id, RENEW_ACTIONS, RENEW_PAUSE)
    if left is not None:
        raise RenewalTooSoon(left)


async def _audit(connection: Connection, caller: Principal, domain: Domain, action: str) -> None:
    await connection.execute(AUDIT_REQUEST, caller.tenant_id, domain.id, domain.hostname, actor(caller), action)
