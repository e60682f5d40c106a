"""GET /domains/{id}/diagnosis: what stands between a domain and its certificate, looked at now.

A diagnosis asks resolvers and strangers' servers, so its pace is bounded: a domain's by `Domains.diagnose`, a
process's by AT_ONCE, of which one tenant has no more than TENANTS_AT_ONCE, and one that does not end by DEADLINE.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.auth import Principal
from api.caller import Callers, domain_id, raw_query
from api.problems import Problem
from api.query import parse_query
from api.representation import diagnosis
from api.service import Diagnostician, Domains
from core.domain import Domain

AT_ONCE = 20
TENANTS_AT_ONCE = 5
DEADLINE = 25.0  # seconds; most proxies wait for 30 or 60
BUSY_PAUSE = 5  # seconds until it is worth to ask again


class Diagnoses:
    """Diagnoses on demand, within those bounds. `diagnostician`: None where there is none."""

    def __init__(self, domains: Domains, diagnostician: Diagnostician | None) -> None:
        self._domains = domains
        self._diagnostician = diagnostician
        self._under_way: Counter[UUID] = Counter()  # by tenant

    async def of(self, caller: Principal, wanted: UUID) -> tuple[Domain, Mapping[str, Any]]:
        """The domain, and what was found. Raises Problem, DomainNotFound, DiagnosisTooSoon, Unavailable."""
        if self._diagnostician is None:
            raise Problem("diagnosis_unavailable", "There is no diagnosis in this installation.")
        tenant = caller.tenant_id
        if self._under_way.total() >= AT_ONCE or self._under_way[tenant] >= TENANTS_AT_ONCE:
            raise Problem("too_many_requests", "Other diagnoses are under way.", retry_after=BUSY_PAUSE)
        self._under_way[tenant] += 1
        try:
            domain = await self._domains.diagnose(caller, wanted)
            return domain, await _within_deadline(self._diagnostician, domain)
        finally:
            self._under_way[tenant] -= 1
            self._under_way += Counter()  # without those that have none


class DiagnosisResource:
    def __init__(self, diagnoses: Diagnoses, callers: Callers, now: Callable[[], datetime]) -> None:
        self._diagnoses = diagnoses
        self._callers = callers
        self._now = now

    async def show(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        parse_query(raw_query(request))
        domain, report = await self._diagnoses.of(caller, domain_id(request))
        return JSONResponse(diagnosis(domain, report, self._now()))


async def _within_deadline(diagnostician: Diagnostician, domain: Domain) -> Mapping[str, Any]:
    """Raises Problem."""
    try:
        async with asyncio.timeout(DEADLINE):
            return await diagnostician.diagnose(domain)
    except TimeoutError:
        raise Problem("diagnosis_unavailable", f"It did not end within {DEADLINE:.0f} s.") from None
