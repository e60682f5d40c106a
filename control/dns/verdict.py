"""What the resolvers' outcomes, taken together, say about a hostname's ownership. Pure: no I/O, no clock.

1. The TXT record is proof when every resolver that answers definitively shows the value, and at least one does.
   Some do and some do not: it is on its way.
2. Otherwise the hostname's CNAME to the tenant's own target stands in for it, by the same rule; the CA's HTTP-01
   challenge then proves it. It does not where a resolver shows a `verify-…` value of somebody else, nor where no
   resolver can say that the TXT record is missing, nor for a wildcard, which HTTP-01 cannot serve.
3. Otherwise the most telling failure is reported: another value, no record, no name, then why nobody could tell.
   What a resolver says about the zone is the tenant's to mend; that it says nothing is the operator's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from control.dns.outcome import (
    Answer,
    Definitive,
    Malformed,
    NoData,
    NoName,
    Outcome,
    Refused,
    ServFail,
    Timeout,
    Unreachable,
)
from core.domain import TXT_PREFIX

Verdict = Literal["proven_txt", "proven_cname", "partial", "absent"]

# Bounds on what strangers' zones may put into our rows and into an API answer.
SHOWN_VALUES = 5
SHOWN_LENGTH = 255  # one TXT string (RFC 1035 section 3.3)

# What registrars' forms add around a value.
DECORATION = b" \t\r\n\v\f\"'"


class Code(StrEnum):
    TXT_FOUND = "txt_found"
    TXT_PROPAGATING = "txt_propagating"
    CNAME_AT_PLATFORM = "cname_at_platform"
    CNAME_PROPAGATING = "cname_propagating"
    TXT_MISMATCH = "txt_mismatch"
    TXT_NO_RECORD = "txt_no_record"
    TXT_NAME_MISSING = "txt_name_missing"
    TXT_NAME_TOO_LONG = "txt_name_too_long"
    DNS_SERVFAIL = "dns_servfail"
    DNS_REFUSED = "dns_refused"
    DNS_TIMEOUT = "dns_timeout"
    DNS_UNREACHABLE = "dns_unreachable"
    DNS_MALFORMED = "dns_malformed"


# code → who can mend it, and the sentence, over the fields of `Question`.
EXPLANATIONS: Mapping[Code, tuple[str, str]] = {
    Code.TXT_FOUND: ("nobody", "The TXT record at {txt_name} has the expected value."),
    Code.TXT_PROPAGATING: (
        "nobody",
        "Some resolvers see the TXT record at {txt_name} and others not yet; it takes a while to spread.",
    ),
    Code.CNAME_AT_PLATFORM: (
        "nobody",
        "{hostname} leads to {cname_target} by CNAME, so the certificate's HTTP challenge will prove it.",
    ),
    Code.CNAME_PROPAGATING: (
        "nobody",
        "Some resolvers see {hostname} lead to {cname_target} and others not yet; it takes a while to spread.",
    ),
    Code.TXT_MISMATCH: ("tenant", "The TXT record at {txt_name} has another value; make it {txt_value}."),
    Code.TXT_NO_RECORD: ("tenant", "{txt_name} has no TXT record; add one with the value {txt_value}."),
    Code.TXT_NAME_MISSING: (
        "tenant",
        "{txt_name} does not exist (NXDOMAIN); add a TXT record there with the value {txt_value}.",
    ),
    Code.TXT_NAME_TOO_LONG: (
        "tenant",
        "{txt_name} is longer than DNS names may be, so only a CNAME from {hostname} to {cname_target} can prove it.",
    ),
    Code.DNS_SERVFAIL: (
        "tenant",
        "{txt_name} cannot be resolved (SERVFAIL): the domain's name servers fail, or its DNSSEC is broken.",
    ),
    Code.DNS_REFUSED: ("operator", "The platform's resolvers refuse to answer."),
    Code.DNS_TIMEOUT: ("operator", "The platform's resolvers did not answer in time; they are asked again."),
    Code.DNS_UNREACHABLE: ("operator", "The platform's resolvers cannot be reached."),
    Code.DNS_MALFORMED: ("operator", "The platform's resolvers sent answers that cannot be read."),
}

FAILURE_CODES: Mapping[type[Outcome], Code] = {
    ServFail: Code.DNS_SERVFAIL,
    Refused: Code.DNS_REFUSED,
    Malformed: Code.DNS_MALFORMED,
    Timeout: Code.DNS_TIMEOUT,
    Unreachable: Code.DNS_UNREACHABLE,
}


@dataclass(frozen=True, slots=True)
class Question:
    """What is looked for. `txt_name` and `hostname` are the names that are asked, `hostname` without a wildcard.

    `cname_target`: the tenant's own.
    """

    hostname: str
    txt_name: str
    txt_value: str
    cname_target: str


@dataclass(frozen=True, slots=True)
class Judgement:
    verdict: Verdict
    code: Code
    who: str
    message: str
    detail: Mapping[str, Any]


def judge(question: Question, txt: Sequence[Outcome] | None, cname: Sequence[Outcome]) -> Judgement:
    """One outcome a resolver in each. `txt`: None if its name cannot be asked. `cname`: empty where it is no proof."""
    verdict, code = decide(question, txt, cname)
    who, sentence = EXPLANATIONS[code]
    message = sentence.format(
        hostname=question.hostname,
        txt_name=question.txt_name,
        txt_value=question.txt_value,
        cname_target=question.cname_target,
    )
    detail: dict[str, Any] = {
        "name": question.txt_name,
        "expected": question.txt_value,
        "found": shown(value for outcome in txt or () for value in values(outcome)),
        "resolvers": {outcome.resolver: describe(outcome, has_value(question, outcome)) for outcome in txt or ()},
    }
    if cname and code not in {Code.TXT_FOUND, Code.TXT_PROPAGATING}:
        detail["cname"] = {
            "name": question.hostname,
            "expected": question.cname_target,
            "found": shown(link.encode() for outcome in cname for link in chain(outcome)),
            "resolvers": {outcome.resolver: describe(outcome, leads_there(question, outcome)) for outcome in cname},
        }
    return Judgement(verdict, code, who, message, detail)


def decide(question: Question, txt: Sequence[Outcome] | None, cname: Sequence[Outcome]) -> tuple[Verdict, Code]:
    answers = [outcome for outcome in txt or () if isinstance(outcome, Definitive)]
    with_value = [has_value(question, outcome) for outcome in answers]
    if any(with_value):
        return ("proven_txt", Code.TXT_FOUND) if all(with_value) else ("partial", Code.TXT_PROPAGATING)
    found = [value.strip(DECORATION) for outcome in answers for value in values(outcome)]
    if (answers or txt is None) and not any(value.startswith(TXT_PREFIX.encode()) for value in found):
        led = [leads_there(question, outcome) for outcome in cname if isinstance(outcome, Definitive)]
        if any(led):
            return ("proven_cname", Code.CNAME_AT_PLATFORM) if all(led) else ("partial", Code.CNAME_PROPAGATING)
    return "absent", reason(txt)


def reason(txt: Sequence[Outcome] | None) -> Code:
    """The most telling of the outcomes, none of which is proof."""
    if txt is None:
        return Code.TXT_NAME_TOO_LONG
    kinds = {type(outcome) for outcome in txt}
    if Answer in kinds:
        return Code.TXT_MISMATCH
    if NoData in kinds:
        return Code.TXT_NO_RECORD
    if NoName in kinds:
        return Code.TXT_NAME_MISSING
    return next((code for kind, code in FAILURE_CODES.items() if kind in kinds), Code.DNS_UNREACHABLE)


def values(outcome: Outcome) -> tuple[bytes, ...]:
    return outcome.values if isinstance(outcome, Answer) else ()


def chain(outcome: Outcome) -> tuple[str, ...]:
    return outcome.chain if isinstance(outcome, Definitive) else ()


def has_value(question: Question, outcome: Outcome) -> bool:
    return shows(outcome, question.txt_value)


def shows(outcome: Outcome, txt_value: str) -> bool:
    expected = txt_value.encode()
    return any(value.strip(DECORATION) == expected for value in values(outcome))


def is_without(outcome: Outcome, txt_value: str) -> bool:
    """The resolver says so: that it cannot tell is no such word."""
    return isinstance(outcome, Definitive) and not shows(outcome, txt_value)


def leads_there(question: Question, outcome: Outcome) -> bool:
    return question.cname_target in chain(outcome)


def describe(outcome: Outcome, expected: bool) -> str:
    """One word for what a resolver said; Extended DNS Errors follow after a colon."""
    match outcome:
        case Answer() | NoData() | NoName() if expected:
            return "found"
        case Answer():
            return "other"
        case NoData():
            return "nodata"
        case NoName():
            return "nxdomain"
        case ServFail():
            return "servfail" if outcome.reason is None else f"servfail: {outcome.reason}"
        case Refused():
            return outcome.rcode.lower()
        case _:
            return type(outcome).__name__.lower()


def shown(found: Iterable[bytes]) -> list[str]:
    """A few of the values, sorted because answers rotate, without control characters (JSONB takes no NUL)."""
    texts = {value[: SHOWN_LENGTH + 1].decode(errors="backslashreplace") for value in found}
    return [printable(text) for text in sorted(texts)[:SHOWN_VALUES]]


def printable(text: str) -> str:
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return escaped if len(escaped) <= SHOWN_LENGTH else escaped[: SHOWN_LENGTH - 1] + "…"
