"""Check 2: which of the CAs the domain's CAA records let issue.

Each resolver's answers are climbed by themselves. A CA is usable when every resolver that came to an end of the climb
lets it; one that could not tell says nothing, unless none can: then a SERVFAIL forbids, as it does at the CAs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from control.dns.caa import CaaRecord, Reason, Verdict, permits
from control.dns.outcome import Answer, Definitive, Outcome, ServFail
from control.dns.verdict import printable
from control.preflight import show
from control.preflight.codes import CAA_REASONS, Code
from control.preflight.report import CaFacts, Challenge, Check, check

NAME = "caa"


@dataclass(frozen=True, slots=True)
class Relevant:
    """The set that decides, as one resolver sees it. `owner`: where it is; "" if the whole climb found none."""

    owner: str
    records: tuple[CaaRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Unreadable:
    """`servfail`: the resolver says that the name servers fail; otherwise it says nothing."""

    owner: str
    servfail: bool


def examine(
    hostname: str,
    facts: Sequence[CaFacts],
    climbed: Sequence[tuple[str, Sequence[Outcome]]],
    challenge: Challenge,
) -> tuple[Check, Sequence[str]]:
    """The check, and the directory URLs of the usable CAs. `climbed`: one outcome a resolver for each name."""
    seen = [relevant([(name, outcomes[i]) for name, outcomes in climbed]) for i in range(_resolvers(climbed))]
    sets = list(dict.fromkeys(one for one in seen if isinstance(one, Relevant)))
    failed = [one for one in seen if isinstance(one, Unreadable)]
    wildcard = hostname.startswith("*.")
    verdicts: dict[str, list[tuple[Relevant, Verdict]]] = {
        ca.directory_url: [
            (
                one,
                permits(
                    one.records, ca.identities, wildcard=wildcard, account_url=ca.account_url, method=str(challenge)
                ),
            )
            for one in sets
        ]
        for ca in facts
    }
    usable = [url for url, all_ in verdicts.items() if all(verdict.permitted for _, verdict in all_)]
    servfail = next((one.owner for one in failed if one.servfail), None) if not sets else None
    fields: dict[str, Any] = {"hostname": hostname}
    if servfail is not None:
        # A CA that names no identity does not look at CAA.
        usable = [ca.directory_url for ca in facts if not ca.identities]
        code = Code.CAA_UNKNOWN if usable else Code.CAA_UNREADABLE
        fields["owner"] = servfail
    elif not sets:
        code = Code.CAA_UNKNOWN
    elif len(usable) == len(facts):
        code = Code.CAA_PERMITS
    else:
        owner, verdict = next(
            (one, verdict) for all_ in verdicts.values() for one, verdict in all_ if not verdict.permitted
        )
        fields |= {"owner": owner.owner, **_remedy(owner, verdict, facts, challenge, wildcard=wildcard)}
        if usable:
            code = Code.CAA_PERMITS_SOME
        elif any(verdict.permitted for all_ in verdicts.values() for _, verdict in all_):
            code = Code.CAA_PROPAGATING
        else:
            code = Code.CAA_FORBIDS
    expected = {"issuers": show.texts(identity for ca in facts for identity in ca.identities), "method": challenge}
    return check(NAME, code, expected, _found(sets, climbed, verdicts), **fields), usable


def relevant(climbed: Sequence[tuple[str, Outcome]]) -> Relevant | Unreadable:
    """RFC 8659 section 3, over what one resolver answered."""
    for name, outcome in climbed:
        if not isinstance(outcome, Definitive):
            return Unreadable(name, isinstance(outcome, ServFail))
        if isinstance(outcome, Answer) and outcome.values:
            try:
                return Relevant(name, tuple(sorted(map(CaaRecord.parse, outcome.values), key=lambda one: one.text)))
            except ValueError:
                return Unreadable(name, servfail=False)
    return Relevant("")


def _resolvers(climbed: Sequence[tuple[str, Sequence[Outcome]]]) -> int:
    return len(climbed[0][1]) if climbed else 0


def _remedy(
    owner: Relevant, verdict: Verdict, facts: Sequence[CaFacts], challenge: Challenge, *, wildcard: bool
) -> Mapping[str, str]:
    why, remedy = CAA_REASONS[verdict.reason]
    record = "" if verdict.record is None else printable(verdict.record.text)
    wanted = wanted_record(owner, facts, wildcard=wildcard)
    fields = {"record": record, "wanted": wanted, "method": str(challenge)}
    return {"why": why.format(**fields), "remedy": remedy.format(**fields)}


def wanted_record(owner: Relevant, facts: Sequence[CaFacts], *, wildcard: bool) -> str:
    """What the tenant may add so that the first CA may issue."""
    tag = "issuewild" if wildcard and any(one.tag == "issuewild" for one in owner.records) else "issue"
    identity = next((identity for ca in facts for identity in ca.identities), "")
    return CaaRecord(0, tag, identity.encode()).text


def _found(
    sets: Sequence[Relevant],
    climbed: Sequence[tuple[str, Sequence[Outcome]]],
    verdicts: Mapping[str, Sequence[tuple[Relevant, Verdict]]],
) -> dict[str, Any]:
    return {
        "sets": [
            {"owner": one.owner, "records": show.texts(record.text for record in one.records)}
            for one in sets[: show.SHOWN]
            if one.records
        ],
        "cas": {url: _worst(all_) for url, all_ in list(verdicts.items())[: show.SHOWN]},
        "resolvers": {name: show.words(outcomes) for name, outcomes in climbed[: show.SHOWN]},
    }


def _worst(verdicts: Sequence[tuple[Relevant, Verdict]]) -> str:
    found = {verdict.reason for _, verdict in verdicts}
    return next((str(reason) for reason in reversed(Reason) if reason in found), "unknown")
