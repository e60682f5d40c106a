"""Which CA an attempt goes to and how the name is shown to be ours: decided, and spent, before the CA hears of it.

1. An order under way stays where it is, unless its CA is gone from the settings, or out for too long.
2. Otherwise the CAs in the operator's order, without those that are out.
3. Without those that the domain's own DNS excludes (pre-flight: CAA); nothing is spent for a name that must fail.
4. The first of them whose limits have room.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from control.acme.client import Client
from control.acme.problems import AcmeError
from control.certificates import renewal
from control.certificates.authorities import Authorities, Authority
from control.certificates.ledger import Ledger, Served
from control.certificates.orders import OpenOrder
from control.jobs import Job
from control.limits.limits import LimitReached
from core import trace
from core.domain import Domain, Finding

# An order that was sent is waited for so long while its CA is out; a new one elsewhere is quicker then.
STUCK = timedelta(minutes=30)


class PreflightFailed(Exception):
    """The order would fail, for a reason that the domain's owner or an operator can mend."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.code)
        self.finding = finding


class Preflight(Protocol):
    async def usable(self, domain: Domain, candidates: Sequence[Authority], kind: str) -> Sequence[Authority]:
        """Those that may issue. Raises PreflightFailed."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """`replaces`: what the CA knows the certificate by that the new one replaces (RFC 9773 section 5).

    `exempt`: nothing was spent, because the CA spares an order that it takes for a renewal.
    """

    authority: Authority
    client: Client
    row: OpenOrder
    replaces: str | None
    exempt: bool = False


class Choice:
    def __init__(
        self, authorities: Authorities, ledger: Ledger, preflight: Preflight | None, now: Callable[[], datetime]
    ) -> None:
        self._authorities = authorities
        self._ledger = ledger
        self._preflight = preflight
        self._now = now

    async def under_way(self, job: Job) -> Chosen | None:
        row = await self._ledger.orders.under_way(job)
        if row is None:
            return None
        authority = self._authorities.by_directory(row.directory_url)
        if authority is None:
            await self._ledger.orders.close(job, {"type": "directory_changed"})
            return None
        if authority not in self._authorities.in_order() and (row.url is None or self._now() - row.created_at > STUCK):
            await self._ledger.orders.close(job, {"type": "ca_out"}, give_back=row.url is None)
            return None
        client = await self.client(authority)
        return Chosen(authority, client, row, _replaces(await self._ledger.served(job), authority), row.exempt)

    async def candidates(self, domain: Domain, kind: str) -> Sequence[Authority]:
        """Raises PreflightFailed."""
        candidates = self._authorities.in_order()
        if self._preflight is None:
            return candidates
        with trace.span("pre-flight", hostname=domain.hostname, challenge=kind) as span:
            try:
                return await self._preflight.usable(domain, candidates, kind)
            except PreflightFailed as failed:
                span.fail(failed.finding.code)
                raise

    async def order(self, job: Job, candidates: Sequence[Authority]) -> Chosen:
        """Raises LimitReached of the CA that has room first, and what an account's opening raises for the last CA."""
        served = await self._ledger.served(job)
        # One that would not take this very order comes last, until somebody has had a day to mend it.
        refused = await self._ledger.orders.refused_lately(job)
        candidates = sorted(candidates, key=lambda one: one.directory_url in refused)
        full: list[LimitReached] = []
        for authority in candidates:
            try:
                client = await self.client(authority)
            except AcmeError:
                if authority is candidates[-1] and not full:
                    raise
                continue
            replaces = _replaces(served, authority)
            exempt = replaces is not None and served is not None and renewal.is_exempt(served.ari_window, self._now())
            try:
                row = await self._ledger.orders.open(job, authority.directory_url, renewal_exempt=exempt)
            except LimitReached as reached:
                full.append(reached)
                continue
            return Chosen(authority, client, row, replaces, exempt)
        raise min(full, key=lambda reached: reached.until)

    async def client(self, authority: Authority) -> Client:
        try:
            return await authority.client()
        except AcmeError as error:
            self._authorities.failed(authority, error)
            raise


def _replaces(served: Served | None, authority: Authority) -> str | None:
    return None if served is None or served.directory_url != authority.directory_url else served.ari_id
