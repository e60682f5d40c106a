"""The bytes of a DNS answer: as many as fit, and those for a question that cannot be read."""

from __future__ import annotations

import dns.exception
import dns.flags
import dns.message
from dns.rcode import Rcode

EDNS_PAYLOAD = 1232  # the DNS flag day 2020 default
MIN_UDP_SIZE = 512  # RFC 1035 section 4.2.1
MAX_TCP_SIZE = 65535
HEADER_SIZE = 12


def encode(response: dns.message.Message, query: dns.message.Message, *, udp: bool) -> bytes:
    """What does not fit is truncated over UDP (so the client asks again over TCP), and SERVFAIL over TCP."""
    limit = max(MIN_UDP_SIZE, query.payload) if query.edns >= 0 else MIN_UDP_SIZE
    limit = min(limit, EDNS_PAYLOAD) if udp else MAX_TCP_SIZE
    try:
        return response.to_wire(max_size=limit)
    except dns.exception.TooBig:
        response.answer.clear()
        response.authority.clear()
        if udp:
            response.flags |= dns.flags.TC
        else:
            response.set_rcode(Rcode.SERVFAIL)
        return response.to_wire(max_size=limit)


def format_error(wire: bytes) -> bytes | None:
    """FORMERR with the packet's own id, or silence when there is not even a header (or it is an answer)."""
    if len(wire) < HEADER_SIZE or wire[2] & 0x80:
        return None
    return wire[:2] + bytes([0x80 | (wire[2] & 0x79), Rcode.FORMERR]) + bytes(HEADER_SIZE - 4)
