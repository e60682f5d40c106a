"""The DNS server bears any packet, and a zone's answers agree with a plain reading of RFC 1034 and 4592."""

import dns.message
import dns.name
import dns.rcode
from dns.rdatatype import RdataType
from hypothesis import given
from hypothesis import strategies as st

from embedded.dns import DnsServer
from embedded.zone import Zone

ORIGIN = dns.name.from_text("z.test.")
LABELS = st.sampled_from(["a", "b", "*", "A"])
NAMES = st.lists(LABELS, max_size=3).map(lambda labels: dns.name.Name(labels).concatenate(ORIGIN).canonicalize())


@given(st.binary(max_size=80), st.booleans())
def test_any_packet_is_answered_with_a_packet_or_silence(packet, udp):
    server = DnsServer(port=0)
    server.add_zone("z.test")
    answer, delay = server.respond(packet, udp=udp)
    assert delay == 0
    if answer is not None:
        assert answer[:2] == packet[:2]
        assert dns.message.from_wire(answer, question_only=True).flags & 0x8000


@given(st.sets(NAMES), st.sets(NAMES), NAMES)
def test_a_name_exists_if_it_or_something_below_it_does_or_a_wildcard_covers_it(added, removed, asked):
    zone = Zone(ORIGIN)
    for name in added:
        zone.add(name, RdataType.TXT, "text")
    for name in removed - {ORIGIN}:
        zone.remove(name)
    owners = (added - removed) | {ORIGIN}
    existing = {owner.split(depth)[1] for owner in owners for depth in range(3, len(owner) + 1)}

    encloser = asked
    while encloser not in existing:
        encloser = encloser.parent()
    wildcard = dns.name.from_text("*", encloser)
    found = zone.find(asked)
    if asked in existing:
        assert found is not None
        assert (RdataType.TXT in found) == (asked in added - removed or (asked == ORIGIN and ORIGIN in added))
    else:
        assert (found is not None) == (wildcard in owners)
