"""What operators look at: the Protocol that the operator's view consumes, and the errors it expects.

This file knows neither HTTP nor SQL. `control.overview` implements the Protocol on PostgreSQL, and on what its own
process hears. All of it is read-only but `retry`. Moments are PostgreSQL's; ages are seconds.

    DomainsError
    ├── DomainNotFound     no domain, live or deleted, has the id
    ├── DeliveryNotFound   there is none with the id that was given up
    ├── SidecarNotFound    no sidecar of this name is heard
    ├── ExplainTooMany     the sidecars are being asked as much as they may be; says when the next may be
    └── SearchTooWide      the search did not come to an end in time
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

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
from api.service import DomainsError


class Overview(Protocol):
    """Every method may raise Unavailable."""

    async def fleet(self, caller: Operator) -> Fleet: ...

    async def figures(self, caller: Operator) -> Figures:
        """Those that were counted last, or new ones if that is a while ago."""
        ...

    async def domains(self, caller: Operator, wanted: Wanted, after: Place | None, limit: int) -> Sequence[DomainRow]:
        """The next domains of all tenants after a place, at most `limit`. Raises SearchTooWide."""
        ...

    async def domain(self, caller: Operator, domain_id: UUID) -> DomainFacts:
        """Raises DomainNotFound."""
        ...

    async def limits(self, caller: Operator) -> Sequence[CaLimits]:
        """Of the CAs, in the operator's order."""
        ...

    async def replicas(self, caller: Operator) -> Sequence[Replica]:
        """By name: those that are alive, or were within the hour."""
        ...

    async def deliveries(
        self, caller: Operator, state: DeliveryState, after: Place | None, limit: int
    ) -> Sequence[DeliveryRow]:
        """Newest first; of those that wait, the oldest."""
        ...

    async def retry(self, caller: Operator, delivery_id: UUID) -> DeliveryRow:
        """Send once more what was given up. Raises DeliveryNotFound."""
        ...

    async def audit(self, caller: Operator, wanted: AuditWanted, before: int | None, limit: int) -> Sequence[AuditRow]:
        """Newest first. Raises SearchTooWide."""
        ...

    async def explain(self, caller: Operator, host: str, sni: str, path: str, sidecar: str | None) -> Explanation:
        """Ask the sidecars that are alive, or one, and wait for their answers. `sni`: "" for none.

        Raises SidecarNotFound, ExplainTooMany, core.question.QuestionUnfit.
        """
        ...


class SidecarNotFound(DomainsError):
    def __init__(self) -> None:
        super().__init__("sidecar_not_found", "No sidecar of this name is heard.")


class ExplainTooMany(DomainsError):
    """`retry_after`: whole seconds, at least 1."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("explain_too_many", f"The sidecars are asked often enough; try again in {retry_after} s.")
        self.retry_after = retry_after


class SearchTooWide(DomainsError):
    def __init__(self) -> None:
        super().__init__("search_too_wide", "The search took too long; say more, or a shorter time.")
