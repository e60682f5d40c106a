"""A pause that a tenant asks for, and its end. Each inside a transaction.

What is under way is not torn off: whoever holds the job is told at its next step, and gives it back as done
(control.certificates.held). An order that is open stays so, and resuming finds it again. Only what is proven can be
paused: before that nothing is ordered, and a claim that nobody looks at would never end. The name is still looked at
(control.domains.watch), since that says whose it is.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from api.auth import Principal
from api.service import PROVEN_STATUSES, DomainNotPausable, PauseTooSoon, Unavailable
from control.domains import requests
from control.domains.states import STORED
from control.domains.tenancy import Connection, actor
from control.domains.transition import apply
from core.domain import Domain, Finding

PAUSED_BY_TENANT = "paused_by_tenant"
MESSAGE = "Its tenant has paused it: no certificate is ordered or renewed until it is resumed."
PAUSE_PAUSE = 5.0  # seconds between two pauses of one domain
PAUSE_ACTIONS = ("pause",)


async def pause(connection: Connection, caller: Principal, domain_id: UUID, now: datetime) -> Domain:
    """Raises what `api.service.Domains.pause` raises."""
    domain = await requests.lock(connection, caller, domain_id)
    if domain.paused_from is not None:
        return domain
    if domain.status not in PROVEN_STATUSES:
        raise DomainNotPausable(domain.status)
    left = await requests.seconds_left(connection, domain_id, PAUSE_ACTIONS, PAUSE_PAUSE)
    if left is not None:
        raise PauseTooSoon(left)
    finding = Finding(PAUSED_BY_TENANT, MESSAGE, "tenant", now, {})
    return await apply(connection, domain_id, "paused_by_tenant", actor(caller), finding=finding)


async def resume(connection: Connection, caller: Principal, before: Domain) -> Domain:
    """Back to where it was. `before`: paused by its tenant, when it was looked at without a lock.

    A certificate that is stored needs no job: the scheduler of renewals knows when it is due. Raises
    DomainNotFound, Unavailable.
    """
    if before.paused_from not in STORED or before.status == "verified":
        await connection.execute(requests.REQUEST_CERTIFICATE, before.id)  # of one that has moved away it makes none
    domain = await requests.lock(connection, caller, before.id)
    if (domain.paused_from, domain.status) != (before.paused_from, before.status):
        raise Unavailable  # another job would be wanted now
    return await apply(connection, domain.id, f"back_to_{domain.paused_from}", actor(caller))
