"""Whether a tenant has proved a hostname by DNS: every resolver is asked at the same time, then they are judged.

No database. A look holds one socket a resolver and question, two questions a resolver, for at most LOOK_TIMEOUT.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import dns.exception
import dns.name
from dns.name import Name
from dns.rdatatype import RdataType

from control.dns.outcome import Outcome
from control.dns.resolver import Resolver
from control.dns.verdict import Question, Verdict, is_without, judge
from core.domain import TXT_LABEL, Domain, Finding
from core.target import tenant_target

LOOK_TIMEOUT = 5.0  # seconds: two attempts at a question, and a third over TCP


@dataclass(frozen=True, slots=True)
class Look:
    verdict: Verdict
    finding: Finding


class Ownership:
    """`resolvers`: at least one. `cname_target`: the platform's name, below which each tenant has its own target.

    Only the tenant's own target is a proof: a CNAME that an earlier tenant has left behind leads to another's.
    """

    def __init__(
        self,
        resolvers: Sequence[Resolver],
        cname_target: str,
        clock: Callable[[], datetime],
        timeout: float = LOOK_TIMEOUT,
    ) -> None:
        if not resolvers:
            raise ValueError("There is no resolver to ask.")
        self._resolvers = resolvers
        self._cname_target = cname_target.removesuffix(".").lower()
        self._clock = clock
        self._timeout = timeout

    async def look(self, domain: Domain) -> Look:
        """Never raises for what resolvers do or fail to do; ends within the timeout."""
        base = domain.hostname.removeprefix("*.")
        question = Question(
            hostname=base,
            txt_name=f"{TXT_LABEL}.{base}",
            txt_value=domain.txt_value,
            cname_target=tenant_target(domain.target_label, self._cname_target),
        )
        txt_name = absolute(question.txt_name)
        # A records: their answer carries the whole CNAME chain, whatever is at its end.
        wants_cname = base == domain.hostname
        txt, cname = await asyncio.gather(
            self._ask(txt_name, RdataType.TXT),
            self._ask(absolute(base) if wants_cname else None, RdataType.A),
        )
        judgement = judge(question, None if txt_name is None else txt, cname)
        finding = Finding(judgement.code, judgement.message, judgement.who, self._clock(), judgement.detail)
        return Look(judgement.verdict, finding)

    async def token_is_gone(self, domain: Domain) -> bool:
        """Whether all resolvers answer, and none shows the tenant's TXT record. Never raises."""
        name = absolute(domain.txt_name)
        outcomes = await self._ask(name, RdataType.TXT)
        return bool(outcomes) and all(is_without(outcome, domain.txt_value) for outcome in outcomes)

    async def _ask(self, name: Name | None, rdtype: RdataType) -> list[Outcome]:
        if name is None:
            return []
        return await asyncio.gather(*(resolver.ask(name, rdtype, self._timeout) for resolver in self._resolvers))


def absolute(text: str) -> Name | None:
    """None when the name has more than 255 octets (RFC 1035 section 2.3.4): the label in front may be too much."""
    try:
        return dns.name.from_text(text)
    except dns.name.NameTooLong:
        return None
