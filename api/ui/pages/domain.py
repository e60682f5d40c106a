"""A domain's page: where it stands, what to do, the records, the certificate, and what has happened.

What changes while somebody looks is one fragment (domain_live.html), which is sent anew by api.ui.pages.events.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from api.caller import domain_id
from api.instructions import Target
from api.names import Names
from api.pagination import decode_entry_cursor, encode_entry_cursor
from api.problems import Problem
from api.propagation import Seen, Witness
from api.routing import Handler
from api.service import Domains
from api.ui.evidence import evidence
from api.ui.guard import Guard
from api.ui.possible import coming, possible, renews
from api.ui.records import kind_of, steps
from api.ui.sentence import sentence, situation
from api.ui.sessions import Visitor
from api.ui.situation import WHO
from api.ui.timeline import timeline
from api.ui.view import View
from core.domain import Domain

ENTRIES = 40  # of the audit, on the page; those before are a page of their own
LINES = 6  # of the timeline, before it is unfolded
HISTORY = 100  # entries of the page of its own

LIVE = "domain_live.html"


@dataclass(frozen=True, slots=True)
class State:
    """What the live part is made of. `seen`: how far the newest change has come."""

    domain: Domain
    seen: Seen

    def version(self, now: datetime) -> str:
        """Another one when the page would say something else; the same in every replica."""
        seen = (self.seen.seen, self.seen.known, self.seen.connected, self.seen.acknowledged, self.seen.rejected)
        attempt = self.domain.next_attempt
        if attempt is not None:  # a turn in a queue is reckoned anew at each look
            attempt = replace(attempt, at=attempt.at.replace(second=0, microsecond=0))
        told = repr((replace(self.domain, next_attempt=attempt), situation(self.domain, now), seen))
        return hashlib.sha256(told.encode()).hexdigest()[:16]


class DomainPages:
    def __init__(
        self,
        guard: Guard,
        view: View,
        domains: Domains,
        names: Names,
        target: Target,
        witness: Witness,
        now: Callable[[], datetime],
    ) -> None:
        self._guard = guard
        self._view = view
        self._domains = domains
        self._names = names
        self._target = target
        self._witness = witness
        self._now = now

    def table(self) -> Mapping[str, Mapping[str, Handler]]:
        return {"/ui/domains/{id}": {"GET": self.show}, "/ui/domains/{id}/history": {"GET": self.history}}

    async def show(self, request: Request) -> Response:
        visitor = await self._guard.tenant(request)
        return await self.page(request, visitor, domain_id(request))

    async def page(self, request: Request, visitor: Visitor, wanted: UUID, problem: Problem | None = None) -> Response:
        """`problem`: why a button did nothing. Raises DomainNotFound, Unavailable."""
        context = await self.context(visitor, await self.state(visitor, wanted))
        quota = await self._domains.quota(visitor.principal)
        return self._view.render(request, "domain.html", problem=problem, quota=quota, tab="overview", **context)

    async def history(self, request: Request) -> Response:
        visitor = await self._guard.tenant(request)
        domain = await self._domains.find(visitor.principal, domain_id(request))
        before = decode_entry_cursor(request.query_params.get("cursor", ""))
        found = await self._domains.history(visitor.principal, domain.id, before, HISTORY + 1)
        entries = found[:HISTORY]
        older = encode_entry_cursor(entries[-1].id) if len(found) > HISTORY else None
        return self._view.render(
            request, "domain_history.html", domain=domain, lines=timeline(entries), older=older, tab="overview"
        )

    async def state(self, visitor: Visitor, wanted: UUID) -> State:
        """Raises DomainNotFound, Unavailable."""
        domain = await self._domains.find(visitor.principal, wanted)
        generation = await self._domains.generation(visitor.principal, wanted)
        return State(domain, self._witness.seen(generation.number, generation.hostname))

    async def context(self, visitor: Visitor, state: State) -> Mapping[str, Any]:
        """What both templates need. Raises DomainNotFound, Unavailable."""
        domain, now = state.domain, self._now()
        entries = await self._domains.history(visitor.principal, domain.id, None, ENTRIES + 1)
        zone = self._names.registered_domain(domain.hostname)
        lines = timeline(entries[:ENTRIES])
        looks = evidence(domain)
        told = steps(domain, self._target, looks, self._names.registered_domain)
        return {
            "domain": domain,
            "csrf": visitor.csrf,
            "said": sentence(domain, now),
            "who": WHO,
            "coming": coming(domain, now),
            "renews": renews(domain, now),
            "possible": possible(domain),
            "kind": kind_of(domain.hostname, zone),
            "zone": zone,
            "steps": told,
            "looked_at": max((look.at for look in looks.values() if look.at is not None), default=None),
            "lines": lines[:LINES],
            "more_lines": lines[LINES:],
            "older": len(entries) > ENTRIES,
            "seen": state.seen,
            "version": state.version(now),
        }
