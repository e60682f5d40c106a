"""The operator's view put together: `api.overview.overview.Overview`, and what control runs and hears for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from api.auth import Operator
from api.endpoints import DeliveryState
from api.overview.audit import AuditRow, AuditWanted
from api.overview.deliveries import DeliveryRow
from api.overview.domains import DomainFacts, DomainRow, Wanted
from api.overview.explanations import Explanation
from api.overview.figures import Figures
from api.overview.fleet import Fleet
from api.overview.limits import CaLimits
from api.overview.places import Place
from api.overview.replicas import Replica
from control.certificates.authorities import Authorities
from control.certificates.propagation import Propagation
from control.limits.limits import Limits
from control.overview.audit import AuditSearch
from control.overview.deliveries import Deliveries
from control.overview.domains import DomainLists
from control.overview.explain import Explanations
from control.overview.figures import Counts
from control.overview.fleet import Sidecars
from control.overview.limits import LimitUse
from control.overview.replicas import Replicas
from control.services.transactions import Transactions


@dataclass(frozen=True, slots=True)
class PlatformOverview:
    """`explanations.heard`: of ANSWERS_CHANNEL. `presence.run`: for as long as the process lives."""

    sidecars: Sidecars
    counts: Counts
    lists: DomainLists
    use: LimitUse
    presence: Replicas
    notifications: Deliveries
    log: AuditSearch
    explanations: Explanations

    async def fleet(self, caller: Operator) -> Fleet:
        return await self.sidecars.fleet(caller)

    async def figures(self, caller: Operator) -> Figures:
        return await self.counts.figures(caller)

    async def domains(self, caller: Operator, wanted: Wanted, after: Place | None, limit: int) -> Sequence[DomainRow]:
        return await self.lists.page(caller, wanted, after, limit)

    async def domain(self, caller: Operator, domain_id: UUID) -> DomainFacts:
        return await self.lists.find(caller, domain_id)

    async def limits(self, caller: Operator) -> Sequence[CaLimits]:
        return await self.use.all(caller)

    async def replicas(self, caller: Operator) -> Sequence[Replica]:
        return await self.presence.all(caller)

    async def deliveries(
        self, caller: Operator, state: DeliveryState, after: Place | None, limit: int
    ) -> Sequence[DeliveryRow]:
        return await self.notifications.page(caller, state, after, limit)

    async def retry(self, caller: Operator, delivery_id: UUID) -> DeliveryRow:
        return await self.notifications.retry(caller, delivery_id)

    async def audit(self, caller: Operator, wanted: AuditWanted, before: int | None, limit: int) -> Sequence[AuditRow]:
        return await self.log.page(caller, wanted, before, limit)

    async def explain(self, caller: Operator, host: str, sni: str, path: str, sidecar: str | None) -> Explanation:
        return await self.explanations.ask(caller, host, sni, path, sidecar)


def overview(
    pool: asyncpg.Pool[Any],
    authorities: Authorities,
    limits: Limits,
    propagation: Propagation,
    replica: str,
) -> PlatformOverview:
    """`pool`: as the workers' role. `replica`: this process's name."""
    transactions = Transactions(pool)
    sidecars = Sidecars(transactions, propagation, replica)
    return PlatformOverview(
        sidecars=sidecars,
        counts=Counts(transactions),
        lists=DomainLists(transactions),
        use=LimitUse(transactions, authorities, limits),
        presence=Replicas(pool, transactions, replica, authorities.health),
        notifications=Deliveries(transactions),
        log=AuditSearch(transactions),
        explanations=Explanations(transactions, sidecars.expected, sidecars.heard_all),
    )
