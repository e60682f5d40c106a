"""The pre-flight as an issuance asks for it: what must fail at the CA is not sent there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

from control.acme.order import DNS_01
from control.acme.problems import AcmeError
from control.certificates.authorities import Authority
from control.certificates.choice import PreflightFailed
from control.preflight.preflight import Preflight
from control.preflight.report import CaFacts
from control.preflight.tokens import ProbeTokens
from core.domain import Domain


class Examination:
    """`now`: for the finding's time."""

    def __init__(self, preflight: Preflight, tokens: ProbeTokens, now: Callable[[], datetime]) -> None:
        self._preflight = preflight
        self._tokens = tokens
        self._now = now

    async def usable(self, domain: Domain, candidates: Sequence[Authority], kind: str) -> Sequence[Authority]:
        """Those whom the domain's CAA records let issue. Raises PreflightFailed, VaultError and asyncpg's errors."""
        challenge: Literal["dns-01", "http-01"] = "dns-01" if kind == DNS_01 else "http-01"
        facts = await facts_of(candidates)
        async with self._tokens.published(domain.id) as token:
            report = await self._preflight.examine(domain, facts, challenge=challenge, token=token)
        finding = report.finding(self._now())
        if finding is not None:
            raise PreflightFailed(finding)
        return [one for one in candidates if one.directory_url in report.usable]


async def facts_of(candidates: Sequence[Authority]) -> Sequence[CaFacts]:
    """A CA that is away now is judged by what is known of it. Raises VaultError and asyncpg's errors."""
    facts = []
    for one in candidates:
        try:
            account_url = (await one.client()).account_url
        except AcmeError:
            account_url = None
        facts.append(CaFacts(one.directory_url, one.caa_identities, account_url))
    return facts
