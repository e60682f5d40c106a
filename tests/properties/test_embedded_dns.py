"""The DNS server bears any packet, and a zone's answers agree with a plain reading of RFC 1034 and 4592."""

import dns.message
import dns.name
import dns.rcode
from dns.opcode import Opcode
from dns.rdatatype import RdataType
from dns.update import UpdateMessage
from hypothesis import given
from hypothesis import strategies as st

from embedded.dns import DnsServer
from embedded.zone import Zone

ORIGIN = dns.name.from_text("z.test.")
LABELS = st.sampled_from(["a", "b", "*", "A"])
NAMES = st.lists(LABELS, max_size=3).map(lambda labels: dns.name.Name(labels).concatenate(ORIGIN).canonicalize())


RECORDS = st.sampled_from(
    [
        (RdataType.A, "127.0.0.1"),
        (RdataType.A, "127.0.0.2"),
        (RdataType.CNAME, "b.z.test."),
        (RdataType.NS, "ns.z.test."),
        (RdataType.NS, "a.z.test."),
        (RdataType.SOA, "ns.z.test. h.z.test. 2 1 1 1 1"),
        (RdataType.TXT, '"text"'),
        (RdataType.RRSIG, "A 8 2 1 20300101000000 20200101000000 1 z.test. AAAA"),
    ]
)
CHANGES = st.sampled_from(["add", "replace", "delete", "delete type", "delete name", "present", "absent"])


@st.composite
def updates(draw):
    """An UPDATE of a zone that is served, or of one that is not, with changes that may contradict each other."""
    update = UpdateMessage(draw(st.sampled_from(["z.test.", "new.test.", "a.z.test.", "."])))
    for change, name, (kind, value) in draw(st.lists(st.tuples(CHANGES, NAMES, RECORDS), max_size=6)):
        match change:
            case "add" | "replace":
                getattr(update, change)(name, draw(st.integers(0, 9)), kind, value)
            case "delete":
                update.delete(name, kind, value)
            case "delete type":
                update.delete(name, kind)
            case "delete name":
                update.delete(name)
            case _:
                getattr(update, change)(name, kind)
    return update


def serving():
    server = DnsServer(port=0, updates=True)
    server.add_zone("z.test")
    return server


def zone_of(server):
    return server._zones[ORIGIN]


def records(server):
    """(name, type, records as text) of the zone."""
    names = zone_of(server)._names
    return {(name, kind, found.to_text()) for name, sets in names.items() for kind, found in sets.items()}


def holds_together(server):
    """The zone has its SOA and NS, no CNAME has other records beside it, and every question is answered."""
    names = {name for name, _kind, _text in records(server)}
    for name in names:
        kinds = zone_of(server).at(name).keys()
        assert RdataType.CNAME not in kinds or kinds == {RdataType.CNAME}
        for kind in (*kinds, RdataType.ANY):
            wire, _ = server.respond(dns.message.make_query(name, kind).to_wire(), udp=False)
            assert dns.message.from_wire(wire).rcode() in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN, dns.rcode.SERVFAIL}
    return {RdataType.SOA, RdataType.NS} <= zone_of(server).at(ORIGIN).keys()


@given(st.binary(max_size=80), st.booleans(), st.booleans())
def test_any_packet_is_answered_with_a_packet_or_silence(packet, udp, updates):
    server = DnsServer(port=0, updates=updates)
    server.add_zone("z.test")
    answer, delay = server.respond(packet, udp=udp)
    assert delay == 0
    if answer is not None:
        assert answer[:2] == packet[:2]
        assert dns.message.from_wire(answer, question_only=True).flags & 0x8000


@given(st.lists(updates(), max_size=4))
def test_any_updates_leave_a_zone_that_can_be_served(messages):
    server = serving()
    for message in messages:
        answer = dns.message.from_wire(server.respond(message.to_wire(), udp=False)[0])
        assert (answer.id, answer.opcode()) == (message.id, Opcode.UPDATE)
        assert holds_together(server)


@given(updates(), st.data())
def test_an_update_with_bytes_changed_or_cut_off_is_answered_and_the_zone_can_be_served(update, data):
    wire = bytearray(update.to_wire())
    for _ in range(data.draw(st.integers(1, 4))):
        wire[data.draw(st.integers(12, len(wire) - 1))] = data.draw(st.integers(0, 255))
    wire = bytes(wire[: data.draw(st.integers(12, len(wire)))])
    server = serving()
    answer, _ = server.respond(wire, udp=True)
    assert answer is not None
    assert answer[:2] == wire[:2]
    assert holds_together(server)


@given(updates())
def test_an_update_that_is_not_accepted_changes_nothing(update):
    server = serving()
    before = records(server)
    wire, _ = server.respond(update.to_wire(), udp=False)
    if dns.message.from_wire(wire).rcode() != dns.rcode.NOERROR:
        assert records(server) == before


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
