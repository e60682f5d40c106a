"""Check 3: the name can be resolved, as a CA's validating resolver would.

DNSSEC is to blame for a SERVFAIL when the resolver says so (RFC 8914), or when it fails again and answers only with
checking disabled. A resolver that does not answer says nothing where another does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import dns.rdatatype

from control.dns.outcome import Answer, Definitive, Outcome, ServFail
from control.dns.verdict import describe
from control.preflight import show
from control.preflight.codes import Code
from control.preflight.questions import Key, latest
from control.preflight.report import Check, check

NAME = "dnssec"

# Extended DNS Errors that say that signatures do not hold. Unsupported algorithms do not: such a zone is unsigned.
BOGUS = frozenset(
    {
        "dnssec_indeterminate",
        "dnssec_bogus",
        "signature_expired",
        "signature_not_yet_valid",
        "signature_expired_before_valid",
        "dnskey_missing",
        "rrsigs_missing",
        "no_zone_key_bit_set",
        "nsec_missing",
    }
)

# With these, or with none, nothing was said of the cause.
SILENT = frozenset({None, "other", "cached_error", "stale_answer"})

Asked = Mapping[Key, Sequence[Outcome]]
Again = Mapping[Key, Sequence[tuple[Outcome, Outcome]]]


def examine(hostname: str, asked: Asked, needed: Sequence[Key], again: Again, *, answered: bool) -> Check:
    """`asked`: all questions about the tenant's names. `needed`: those of which one must have an answer.

    `again`: for those that failed, what each resolver says now and what with checking disabled.
    `answered`: whether any resolver could resolve anything, this name or another.
    """
    bogus = [key for key in asked if is_bogus(asked[key], again.get(key, ()))]
    failing = {key: outcomes for key, outcomes in asked.items() if not all(isinstance(o, Definitive) for o in outcomes)}
    unresolved = [
        key for key in needed if not any(isinstance(one, Definitive) for one in latest(asked[key], again.get(key, ())))
    ]
    code, name = _decide(hostname, asked, needed, bogus, unresolved, list(failing), answered=answered)
    found = {
        _title(key): {one.resolver: describe(one, True) for one in failing[key]} for key in list(failing)[: show.SHOWN]
    }
    if bogus:
        found["checking disabled"] = {
            other.resolver: describe(other, True) for key in bogus[:1] for _, other in again.get(key, ())
        }
    return check(NAME, code, "answers", found, hostname=hostname, name=name)


def _decide(
    hostname: str,
    asked: Asked,
    needed: Sequence[Key],
    bogus: Sequence[Key],
    unresolved: Sequence[Key],
    failing: Sequence[Key],
    *,
    answered: bool,
) -> tuple[Code, str]:
    if bogus:
        return Code.DNSSEC_BOGUS, bogus[0][0]
    if unresolved and not any(isinstance(one, Answer) for key in needed for one in asked.get(key, ())):
        name = unresolved[0][0]
        if any(isinstance(one, ServFail) for key in unresolved for one in asked.get(key, ())):
            return Code.DNS_SERVFAIL, name
        return (Code.DNS_SILENT if answered else Code.RESOLVERS_SILENT), name
    return (Code.DNS_PARTLY_FAILING if failing else Code.DNS_RESOLVES), hostname


def is_bogus(outcomes: Sequence[Outcome], again: Sequence[tuple[Outcome, Outcome]]) -> bool:
    """Whether DNSSEC is why a question failed. The second try tells it from a trouble that has passed.

    Of one resolver at least; `again` has a pair for each, in the order of `outcomes`.
    """
    if any(isinstance(one, ServFail) and one.reason in BOGUS for one in outcomes):
        return True
    return any(
        isinstance(first, ServFail)
        and isinstance(checked, ServFail)
        and {first.reason, checked.reason} <= SILENT
        and isinstance(unchecked, Definitive)
        for first, (checked, unchecked) in zip(outcomes, again, strict=False)
    )


def _title(key: Key) -> str:
    return f"{key[0]} {dns.rdatatype.to_text(key[1])}"
