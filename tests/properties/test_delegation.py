"""The verdict on a delegation, the spread of a record, and answers to updates: the rules hold whatever comes."""

import dns.message
import dns.name
import dns.update
from dns.rcode import Rcode
from hypothesis import given
from hypothesis import strategies as st

from control.dns.authoritative import Spread
from control.dns.delegation import EXPLANATIONS, Reply, decide
from control.dns.outcome import (
    Answer,
    Definitive,
    Malformed,
    NoData,
    NoName,
    Refused,
    ServFail,
    Timeout,
    Unreachable,
)
from control.dns.update import MESSAGES, interpret, tsig_key
from core.delegation import LONGEST_ZONE, MAX_NAME, challenge_name, delegated_name, has_room

EXPECTED = "label.acme.platform.test"
names = st.sampled_from([EXPECTED, "other.acme.platform.test", "alias.mybrand.test"])
chains = st.lists(names, max_size=3).map(tuple)
texts = st.lists(st.sampled_from([b"one", b"two", b"three", b"\xff\0"]), min_size=1, max_size=3).map(tuple)
definitive = st.one_of(
    st.builds(Answer, st.just("r"), texts, chains),
    st.builds(NoName, st.just("r"), chains),
    st.builds(NoData, st.just("r"), chains),
)
failures = st.sampled_from(
    [ServFail("r"), ServFail("r", "dnssec_bogus"), Refused("r"), Timeout("r"), Unreachable("r"), Malformed("r")]
)
cnames = st.none() | failures | st.builds(Answer, st.just("r"), names.map(lambda name: (f"{name}.".encode(),)))
replies = st.builds(Reply, definitive | failures, cnames | st.builds(NoData, st.just("r")))


@given(st.lists(replies, min_size=1, max_size=4))
def test_a_delegation_is_found_when_all_that_can_tell_show_it_and_one_does(asked):
    code = decide(EXPECTED, asked)
    assert code in EXPLANATIONS
    able = [one for one in asked if isinstance(one.txt, Definitive)]
    right = [one for one in able if EXPECTED in one.links()]
    if code == "delegation_found":
        assert right and len(right) == len(able)
    if right and len(able) == len(asked):
        assert code == ("delegation_found" if len(right) == len(able) else "delegation_propagating")
    if not right:
        assert code not in {"delegation_found", "delegation_propagating"}


@given(st.lists(replies, min_size=1, max_size=4), st.randoms())
def test_the_order_of_resolvers_makes_no_difference(asked, random):
    mixed = list(asked)
    random.shuffle(mixed)
    assert decide(EXPECTED, mixed) == decide(EXPECTED, asked)


@given(st.lists(definitive | failures, max_size=5), st.sets(st.sampled_from(["one", "two"]), min_size=1))
def test_a_record_is_everywhere_when_no_server_that_answers_lacks_it(outcomes, wanted):
    spread = Spread.of(outcomes, sorted(wanted))
    assert len(spread.shown) + len(spread.lacking) + len(spread.silent) == len(outcomes)
    able = [one for one in outcomes if isinstance(one, Definitive)]
    having = [one for one in able if isinstance(one, Answer) and {v.encode() for v in wanted} <= set(one.values)]
    assert len(spread.shown) == len(having)
    assert spread.is_enough(silence_over=True) == (bool(having) and len(having) == len(able))
    assert spread.is_enough(silence_over=False) == (bool(having) and len(having) == len(outcomes))


KEY = tsig_key("key", "c2VjcmV0c2VjcmV0", "hmac-sha256")


def signed_update():
    update = dns.update.UpdateMessage("acme.platform.test")
    update.use_tsig({KEY.name: KEY}, KEY.name)
    update.add(dns.name.from_text(EXPECTED), 5, "TXT", "value")
    update.to_wire()
    return update


def answer_to(update, rcode=Rcode.NOERROR):
    response = dns.message.Message(id=update.id)
    response.flags = dns.flags.QR | dns.opcode.to_flags(dns.opcode.UPDATE)
    response.set_rcode(rcode)
    response.use_tsig(KEY)
    response.request_mac = update.mac
    return response.to_wire()


def test_only_a_signed_yes_is_a_yes():
    update = signed_update()
    assert interpret(update, answer_to(update)) is None
    assert interpret(update, answer_to(update, Rcode.SERVFAIL)) == ("dns_update_failed", "SERVFAIL")
    assert interpret(signed_update(), answer_to(update)) is not None, "an answer to another update"


@given(st.data())
def test_an_answer_that_was_changed_on_the_way_is_no_yes(data):
    update = signed_update()
    wire = bytearray(answer_to(update))
    position = data.draw(st.integers(0, len(wire) - 1))
    wire[position] ^= data.draw(st.integers(1, 255))
    changed = bytes(wire[: data.draw(st.sampled_from([len(wire), position]))])
    refusal = interpret(update, changed)
    if refusal is not None:
        assert refusal[0] in MESSAGES
    else:  # where nothing is meant: the case of a name's letters, the time to live of a signature
        assert read(update, changed).to_text().lower() == read(update, answer_to(update)).to_text().lower()


def read(update, wire):
    return dns.message.from_wire(wire, keyring={KEY.name: KEY}, request_mac=update.mac)


@given(st.binary(max_size=200))
def test_any_bytes_have_a_meaning(wire):
    refusal = interpret(signed_update(), wire)
    assert refusal is not None and refusal[0] in MESSAGES


labels = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=63)
hostnames = st.lists(labels, min_size=2, max_size=10).map(".".join).filter(lambda name: len(name) <= MAX_NAME)


@given(hostnames, st.booleans())
def test_a_wildcard_shares_its_challenge_with_its_base_name(hostname, wildcard):
    assert challenge_name(f"*.{hostname}" if wildcard else hostname) == f"_acme-challenge.{hostname}"
    if has_room(hostname):
        dns.name.from_text(challenge_name(hostname))


@given(st.lists(labels, min_size=2, max_size=10).map(".".join).filter(lambda zone: len(zone) <= LONGEST_ZONE))
def test_every_zone_that_the_settings_take_has_room_for_a_label(zone):
    dns.name.from_text(delegated_name("f" * 32, zone))
