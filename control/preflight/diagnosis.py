"""What stands between a domain and its certificate, looked at now: the proof of ownership, and the pre-flight.

For the API's GET /domains/{id}/diagnosis (api.service.Diagnostician), which limits how often.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from control.dns.ownership import Look, Ownership
from control.domains.states import PROVEN
from control.preflight.preflight import Preflight
from control.preflight.report import CaFacts, Challenge, Check, Report
from control.preflight.tokens import ProbeTokens
from core.domain import Domain

NAME = "ownership"
# The CAs that may be asked, as they are known now; raises at most what PostgreSQL raises.
Facts = Callable[[], Awaitable[Sequence[CaFacts]]]


class Diagnosis:
    """`challenge`: how a domain's certificate is validated."""

    def __init__(
        self,
        preflight: Preflight,
        ownership: Ownership,
        tokens: ProbeTokens,
        facts: Facts,
        challenge: Callable[[Domain], Awaitable[Challenge]],
    ) -> None:
        self._preflight = preflight
        self._ownership = ownership
        self._tokens = tokens
        self._facts = facts
        self._challenge = challenge

    async def diagnose(self, domain: Domain) -> Mapping[str, Any]:
        """The report as JSON. Raises what PostgreSQL raises."""
        return (await self.report(domain)).to_json()

    async def report(self, domain: Domain) -> Report:
        """Raises what PostgreSQL raises, and nothing for what strangers' DNS and servers do."""
        facts, challenge = await asyncio.gather(self._facts(), self._challenge(domain))
        async with self._tokens.published(domain.id) as token:
            look, report = await asyncio.gather(
                self._ownership.look(domain),
                self._preflight.examine(domain, facts, challenge=challenge, token=token),
            )
        return Report([owned(domain, look), *report.checks], report.usable)


def owned(domain: Domain, look: Look) -> Check:
    """The look at the proof as a check."""
    ok, detail = look.verdict in {"proven_txt", "proven_cname"}, look.finding.detail
    return Check(
        name=NAME,
        code=look.finding.code,
        ok=ok,
        # Proven once, what DNS says of it now changes nothing for the certificate.
        blocking=not ok and domain.status not in PROVEN,
        who=look.finding.who,
        message=look.finding.message,
        expected={"name": detail.get("name"), "TXT": detail.get("expected")},
        found={kind: value for kind, value in detail.items() if kind not in {"name", "expected"}},
    )
