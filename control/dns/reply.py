"""The bytes of a resolver's reply, read as an outcome. No I/O, and total: any bytes have an outcome."""

from __future__ import annotations

from enum import Enum

import dns.edns
import dns.exception
import dns.message
import dns.rcode
from dns.message import Message, QueryMessage
from dns.rcode import Rcode
from dns.rdtypes.ANY.TXT import TXT

from control.dns.outcome import Answer, Malformed, NoData, NoName, Outcome, Refused, ServFail


class Truncated(Enum):
    """The reply did not fit into a datagram: ask again over TCP (RFC 7766)."""

    TRUNCATED = "truncated"


def interpret(query: QueryMessage, wire: bytes, resolver: str) -> Outcome | Truncated:
    """What `wire` says to `query`. A message with another id or question, and anything unreadable, is Malformed."""
    try:
        response = dns.message.from_wire(wire, ignore_trailing=True, raise_on_truncation=True)
    except dns.message.Truncated as error:
        return Truncated.TRUNCATED if query.is_response(error.kwargs["message"]) else Malformed(resolver)
    except dns.exception.DNSException:
        return Malformed(resolver)
    if not isinstance(response, QueryMessage) or not query.is_response(response):
        return Malformed(resolver)
    rcode = response.rcode()
    if rcode == Rcode.SERVFAIL:
        return ServFail(resolver, extended_error(response))
    if rcode not in {Rcode.NOERROR, Rcode.NXDOMAIN}:
        return Refused(resolver, dns.rcode.to_text(rcode))
    try:
        result = response.resolve_chaining()
    except dns.exception.DNSException:  # a chain of more than 16 links, or records with NXDOMAIN
        return Malformed(resolver)
    chain = tuple(links[0].target.canonicalize().to_text(omit_final_dot=True) for links in result.cnames if len(links))
    if rcode == Rcode.NXDOMAIN:
        return NoName(resolver, chain)
    if result.answer is None:
        return NoData(resolver, chain)
    values = (
        b"".join(record.strings) if isinstance(record, TXT) else record.to_text().encode() for record in result.answer
    )
    return Answer(resolver, tuple(values), chain)


def extended_error(response: Message) -> str | None:
    """The first Extended DNS Error's registered name, such as `dnssec_bogus`; never its text, which is free."""
    for option in response.extended_errors():
        if isinstance(option.code, dns.edns.EDECode):
            return option.code.name.lower()
    return None
