"""What one resolver said to one question: plain records, each with the name of the resolver that it comes from.

`Answer`, `NoName` and `NoData` are definitive: they say what the DNS holds. The others say that this resolver could
not tell. `chain` holds the CNAME targets that were followed from the name asked for, in order and in the normal form
of hostnames.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """`values`: for TXT the strings of each record joined, as they are on the wire; otherwise presentation form."""

    resolver: str
    values: tuple[bytes, ...]
    chain: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NoName:
    """NXDOMAIN: the name, or the end of its CNAME chain, does not exist."""

    resolver: str
    chain: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NoData:
    """The name exists and has no record of this type (RFC 2308 section 2.2)."""

    resolver: str
    chain: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServFail:
    """The resolver could not resolve it. `reason`: the Extended DNS Error's name if there is one (RFC 8914)."""

    resolver: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The resolver does not serve us, or not such a question: REFUSED, or a rarer code such as NOTIMP."""

    resolver: str
    rcode: str = "REFUSED"


@dataclass(frozen=True, slots=True)
class Timeout:
    resolver: str


@dataclass(frozen=True, slots=True)
class Unreachable:
    """No packet can be exchanged: nobody listens there, there is no route, or the connection was cut."""

    resolver: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """Bytes came that are no answer to the question."""

    resolver: str


Definitive = Answer | NoName | NoData
Failure = ServFail | Refused | Timeout | Unreachable | Malformed
Outcome = Definitive | Failure
