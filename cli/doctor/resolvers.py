"""The DNS resolvers that verification relies on: does each answer, do they agree, does one of them make things up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from secrets import token_hex

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
from dns.rdatatype import RdataType

from cli.doctor.finding import Finding, found, well
from control.dns.outcome import Answer, Definitive, NoData, NoName, Outcome
from control.dns.resolver import Resolver, resolvers
from core.target import tenant_target

WHAT = "DNS resolvers"
WITHIN = 5.0
NOWHERE = "{}.invalid"  # RFC 6761 section 6.4: nobody ever has a name there


async def examine(configured: Sequence[str], target: str) -> Sequence[Finding]:
    try:
        asked = resolvers(configured)
    except ValueError as error:
        return [found("resolvers_unusable", WHAT, str(error))]
    names = [dns.name.from_text(name) for name in (target, tenant_target("t-nobody", target))]
    made_up = dns.name.from_text(NOWHERE.format(token_hex(8)))
    answers, below, lies = await asyncio.gather(*(_ask(asked, name) for name in (*names, made_up)))
    signed = await asyncio.gather(*(_validates(one) for one in asked if one.name in _definitive(answers)))
    findings = [*_silent(answers), *_rewriters(lies)]
    answered = [answer for answer in (*answers, *below) if isinstance(answer, Answer)]
    unknown = [answer for answer in (*answers, *below) if isinstance(answer, NoName | NoData)]
    if unknown:
        seen = f"{unknown[0].resolver} knows no {target}, or no name below it"
        findings.append(found("target_unknown", WHAT, seen, target=target))
    values = {frozenset(answer.values) for answer in answered}
    if not unknown and len(values) > 1:
        findings.append(found("resolvers_disagree", WHAT, f"{len(values)} different answers for {target}"))
    dnssec = f", {sum(signed)} of {len(asked)} validate DNSSEC" if any(signed) else ", none validates DNSSEC"
    return findings or [well(WHAT, f"{target} and the names below it are known to all {len(asked)}{dnssec}")]


async def _ask(asked: Sequence[Resolver], name: dns.name.Name) -> Sequence[Outcome]:
    return await asyncio.gather(*(resolver.ask(name, RdataType.A, WITHIN) for resolver in asked))


def _definitive(answers: Sequence[Outcome]) -> set[str]:
    """The resolvers that say what the DNS holds."""
    return {answer.resolver for answer in answers if isinstance(answer, Definitive)}


def _silent(answers: Sequence[Outcome]) -> Sequence[Finding]:
    return [
        found("resolver_silent", WHAT, f"{answer.resolver}: {type(answer).__name__}")
        for answer in answers
        if not isinstance(answer, Definitive)
    ]


def _rewriters(lies: Sequence[Outcome]) -> Sequence[Finding]:
    return [
        found(
            "resolver_rewrites",
            WHAT,
            f"{lie.resolver} has {lie.values[0].decode(errors='replace')} for a name that nobody has",
            resolver=lie.resolver,
        )
        for lie in lies
        if isinstance(lie, Answer) and lie.values
    ]


async def _validates(resolver: Resolver) -> bool:
    """Whether it says of the signed root that it holds (the AD bit, RFC 6840 section 5.8)."""
    query = dns.message.make_query(".", RdataType.SOA, use_edns=0)
    query.flags |= dns.flags.AD
    try:
        reply = await dns.asyncquery.udp(query, resolver.address, timeout=WITHIN, port=resolver.port)
    except (dns.exception.DNSException, OSError):
        return False
    return bool(reply.flags & dns.flags.AD)
