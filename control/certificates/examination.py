"""The pre-flight as an issuance asks for it: what must fail at the CA is not sent there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

from control.acme.order import DNS_01
from control.certificates.authorities import Authority
from control.certificates.choice import PreflightFailed
from control.domains.rivals import Rivals
from control.preflight.facts import KnownFacts
from control.preflight.preflight import Preflight
from control.preflight.tokens import ProbeTokens
from core.domain import Domain


class Examination:
    """`now`: for the finding's time. `rivals`: None asks for no other tenants' proofs."""

    def __init__(
        self,
        preflight: Preflight,
        tokens: ProbeTokens,
        facts: KnownFacts,
        now: Callable[[], datetime],
        rivals: Rivals | None = None,
    ) -> None:
        self._preflight = preflight
        self._tokens = tokens
        self._facts = facts
        self._now = now
        self._rivals = rivals

    async def usable(self, domain: Domain, candidates: Sequence[Authority], kind: str) -> Sequence[Authority]:
        """Those whom the domain's CAA records let issue. Raises PreflightFailed and asyncpg's errors."""
        lost = None if self._rivals is None else await self._rivals.against(domain)
        if lost is not None:
            raise PreflightFailed(lost)
        challenge: Literal["dns-01", "http-01"] = "dns-01" if kind == DNS_01 else "http-01"
        directories = {one.directory_url for one in candidates}
        facts = [one for one in await self._facts() if one.directory_url in directories]
        async with self._tokens.published(domain.id) as token:
            report = await self._preflight.examine(domain, facts, challenge=challenge, token=token)
        finding = report.finding(self._now())
        if finding is not None:
            raise PreflightFailed(finding)
        return [one for one in candidates if one.directory_url in report.usable]
