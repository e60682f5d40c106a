"""Whether a set of CAA records lets a CA issue (RFC 8659), for an account and a method (RFC 8657). Pure: no I/O.

1. The relevant set is the first that is not empty from the name towards the root (`climb`); for `*.X` it begins at X.
2. A critical property that CAs do not know forbids, whatever else the set says.
3. `issuewild` properties, if any, decide for a wildcard; otherwise the `issue` properties do. A set without properties
   that decide restricts nobody.
4. One of those that decide must name the CA and be satisfied by its parameters. What cannot be parsed names nobody, and
   so does the empty issuer `;`, but neither takes away what another property grants.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

import dns.exception
import dns.rdata
import dns.rdataclass
from dns.rdatatype import RdataType
from dns.rdtypes.ANY.CAA import CAA

# RFC 8659 section 4.1.1. Some CAs (Boulder) also take the bit 1 for the critical one, since many zones mean it so.
CRITICAL = 128 | 1
# RFC 8659 sections 4.2 to 4.4, RFC 9495.
KNOWN_TAGS = frozenset({"issue", "issuewild", "iodef", "issuemail"})

_WSP = " \t"
_issuer = re.compile(r"[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*(?:\.[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*)*").fullmatch
_tag = re.compile(r"[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*").fullmatch
_value = re.compile(r"[\x21-\x3a\x3c-\x7e]*").fullmatch
_method = re.compile(r"[A-Za-z0-9-]+").fullmatch


@dataclass(frozen=True, slots=True)
class CaaRecord:
    """`tag`: in lower case, since case has no meaning there (RFC 8659 section 4.1)."""

    flags: int
    tag: str
    value: bytes

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """From presentation form, `0 issue "ca.example"`. Raises ValueError."""
        try:
            record = dns.rdata.from_text(dns.rdataclass.IN, RdataType.CAA, text.decode("ascii"))
        except (dns.exception.DNSException, UnicodeDecodeError):
            raise ValueError("That is no CAA record.") from None
        assert isinstance(record, CAA)  # noqa: S101 -- it was parsed as one
        return cls(record.flags, record.tag.decode("ascii").lower(), record.value)

    @property
    def text(self) -> str:
        """Presentation form."""
        return CAA(dns.rdataclass.IN, RdataType.CAA, self.flags, self.tag.encode(), self.value).to_text()  # type: ignore[no-untyped-call]  # dnspython's

    @property
    def critical(self) -> bool:
        return bool(self.flags & CRITICAL)


@dataclass(frozen=True, slots=True)
class Grant:
    """The value of an `issue` or `issuewild` property. `issuer`: "" for nobody. Parameters keep their order."""

    issuer: str
    parameters: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, value: bytes) -> Self | None:
        """By the grammar of RFC 8659 section 4.2; None for anything else."""
        try:
            head, *rest = value.decode("ascii").split(";")
        except UnicodeDecodeError:
            return None
        issuer = head.strip(_WSP)
        if issuer and _issuer(issuer) is None:
            return None
        if len(rest) == 1 and not rest[0].strip(_WSP):
            rest = []
        parameters = []
        for one in rest:
            tag, separator, text = (part.strip(_WSP) for part in one.partition("="))
            if not separator or _tag(tag) is None or _value(text) is None:
                return None
            parameters.append((tag.lower(), text))
        return cls(issuer.lower(), tuple(parameters))

    def values(self, tag: str) -> list[str]:
        return [text for name, text in self.parameters if name == tag]


class Reason(StrEnum):
    """Why, from the best to the worst that can be said of a set. The first four permit."""

    GRANTED = "granted"
    NO_RECORDS = "no_records"
    UNRESTRICTED = "unrestricted"
    IDENTITY_UNKNOWN = "identity_unknown"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    ACCOUNT_NOT_ALLOWED = "account_not_allowed"
    ISSUER_NOT_NAMED = "issuer_not_named"
    MALFORMED = "malformed"
    NOBODY_MAY = "nobody_may"
    CRITICAL_UNKNOWN = "critical_unknown"


PERMITTING = frozenset({Reason.GRANTED, Reason.NO_RECORDS, Reason.UNRESTRICTED, Reason.IDENTITY_UNKNOWN})


@dataclass(frozen=True, slots=True)
class Verdict:
    """`record`: the one that decided it, if one did."""

    reason: Reason
    record: CaaRecord | None = None

    @property
    def permitted(self) -> bool:
        return self.reason in PERMITTING


def climb(hostname: str) -> Sequence[str]:
    """The names whose CAA records are looked at, in order: the name without its wildcard, then each parent."""
    labels = hostname.removeprefix("*.").split(".")
    return [".".join(labels[start:]) for start in range(len(labels))]


def permits(
    records: Iterable[CaaRecord], identities: Iterable[str], *, wildcard: bool, account_url: str | None, method: str
) -> Verdict:
    """What the relevant set says to a CA. `account_url`: None while there is no account. `method`: such as `http-01`.

    A CA without `identities` does not say by which names it is granted anything, so nothing is held against it.
    """
    relevant = tuple(records)
    if not relevant:
        return Verdict(Reason.NO_RECORDS)
    names = {identity.rstrip(".").lower() for identity in identities}
    deciding = [one for one in relevant if one.tag == "issue"]
    if wildcard:
        deciding = [one for one in relevant if one.tag == "issuewild"] or deciding
    unknown = next((one for one in relevant if one.critical and one.tag not in KNOWN_TAGS), None)
    if not names:
        return Verdict(Reason.IDENTITY_UNKNOWN if deciding or unknown else Reason.UNRESTRICTED)
    if unknown is not None:
        return Verdict(Reason.CRITICAL_UNKNOWN, unknown)
    if not deciding:
        return Verdict(Reason.UNRESTRICTED)
    order = list(Reason)
    verdicts = (Verdict(_judge(one, names, account_url, method), one) for one in deciding)
    return min(verdicts, key=lambda verdict: order.index(verdict.reason))


def _judge(record: CaaRecord, names: set[str], account_url: str | None, method: str) -> Reason:
    """What one property says to the CA."""
    grant = Grant.parse(record.value)
    if grant is None:
        return Reason.MALFORMED
    if not grant.issuer:
        return Reason.NOBODY_MAY
    if grant.issuer not in names:
        return Reason.ISSUER_NOT_NAMED
    accounts = grant.values("accounturi")
    # RFC 8657 section 3: a property with several is unsatisfiable; so CAs read several lists of methods, too.
    if accounts and (len(accounts) > 1 or accounts[0] != account_url):
        return Reason.ACCOUNT_NOT_ALLOWED
    methods = grant.values("validationmethods")
    if methods and (len(methods) > 1 or not _lists(methods[0], method)):
        return Reason.METHOD_NOT_ALLOWED
    return Reason.GRANTED


def _lists(value: str, method: str) -> bool:
    """RFC 8657 section 4: labels with commas between them, or nothing."""
    labels = value.split(",")
    return all(_method(label) for label in labels) and method in labels
