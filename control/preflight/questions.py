"""The DNS questions of one examination: each is put once to every resolver, all at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from dns.name import Name
from dns.rdatatype import RdataType

from control.dns.outcome import Answer, Definitive, Outcome, ServFail
from control.dns.ownership import absolute
from control.dns.resolver import Resolver

AT_ONCE = 64  # sockets of one examination: a name may have 127 labels, and CAA is asked for at each

Key = tuple[str, RdataType]
Address = IPv4Address | IPv6Address


class Questions:
    """Keeps what was answered."""

    def __init__(self, resolvers: Sequence[Resolver]) -> None:
        self._resolvers = resolvers
        self._room = asyncio.Semaphore(AT_ONCE)
        self._asked: dict[Key, Sequence[Outcome]] = {}

    async def ask(self, keys: Iterable[Key], within: float) -> None:
        """`within`: seconds for all of them. A name that is longer than DNS names may be has no outcomes."""
        wanted = list(dict.fromkeys(keys))
        end = _now() + within
        answers = await asyncio.gather(*(self._all(key, end) for key in wanted))
        self._asked.update(zip(wanted, answers, strict=True))

    def outcomes(self, key: Key) -> Sequence[Outcome]:
        """One a resolver, in their order."""
        return self._asked.get(key, ())

    async def again(self, keys: Iterable[Key], within: float) -> Mapping[Key, Sequence[tuple[Outcome, Outcome]]]:
        """For those that failed: what each resolver says now, and what with DNSSEC checking disabled."""
        failing = [key for key in keys if failed(self._asked.get(key, ()))]
        end = _now() + within
        checked, unchecked = await asyncio.gather(
            asyncio.gather(*(self._all(key, end) for key in failing)),
            asyncio.gather(*(self._all(key, end, checking_disabled=True) for key in failing)),
        )
        return {
            key: tuple(zip(one, other, strict=True))
            for key, one, other in zip(failing, checked, unchecked, strict=True)
        }

    @property
    def answered(self) -> bool:
        """Whether any resolver could resolve anything."""
        return any(isinstance(one, Definitive) for outcomes in self._asked.values() for one in outcomes)

    async def _all(self, key: Key, end: float, *, checking_disabled: bool = False) -> Sequence[Outcome]:
        name, rdtype = absolute(key[0]), key[1]
        if name is None:
            return ()
        return await asyncio.gather(
            *(self._one(resolver, name, rdtype, end, checking_disabled) for resolver in self._resolvers)
        )

    async def _one(
        self, resolver: Resolver, name: Name, rdtype: RdataType, end: float, checking_disabled: bool
    ) -> Outcome:
        async with self._room:
            return await resolver.ask(name, rdtype, end - _now(), checking_disabled=checking_disabled)


def failed(outcomes: Sequence[Outcome]) -> bool:
    """Whether a resolver met a SERVFAIL, or none could tell anything."""
    definitive = any(isinstance(one, Definitive) for one in outcomes)
    return not definitive or any(isinstance(one, ServFail) for one in outcomes)


def latest(outcomes: Sequence[Outcome], again: Sequence[tuple[Outcome, Outcome]]) -> Sequence[Outcome]:
    """What each resolver told, at the second try where the first told nothing."""
    if not again:
        return outcomes
    return [one if isinstance(one, Definitive) else now for one, (now, _) in zip(outcomes, again, strict=True)]


def found(outcomes: Iterable[Outcome]) -> frozenset[Address]:
    """The addresses in A and AAAA answers, of all resolvers together."""
    texts = {value.decode("ascii") for outcome in outcomes if isinstance(outcome, Answer) for value in outcome.values}
    there: frozenset[Address] = frozenset(map(ip_address, texts))
    return there


def _now() -> float:
    return asyncio.get_running_loop().time()
