"""Whatever bytes a resolver sends, they are an outcome, and one that can be judged and stored."""

import json

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
from dns.message import QueryMessage
from dns.rcode import Rcode
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType
from dns.rdtypes.ANY.CNAME import CNAME
from dns.rdtypes.ANY.TXT import TXT
from hypothesis import given
from hypothesis import strategies as st

from control.dns.outcome import Answer, Malformed, NoData, NoName, Outcome, Refused, ServFail
from control.dns.reply import Truncated, interpret
from control.dns.verdict import Question, judge

OWNER = dns.name.from_text("_platform-verify.shop.example.com")
QUESTION = Question("shop.example.com", "_platform-verify.shop.example.com", "verify-abc", "custom.platform.io")
OUTCOMES = (Answer, NoName, NoData, ServFail, Refused, Malformed, Truncated)

labels = st.binary(min_size=1, max_size=20)
names = st.builds(lambda parts: dns.name.Name((*parts, b"")), st.lists(labels, max_size=4)) | st.just(OWNER)
texts = st.lists(st.binary(max_size=255), min_size=1, max_size=4)
records = st.tuples(
    names,
    st.one_of(
        st.builds(lambda strings: TXT(RdataClass.IN, RdataType.TXT, strings), texts),
        st.builds(lambda target: CNAME(RdataClass.IN, RdataType.CNAME, target), names),
    ),
)


def query_with_id(number: int) -> QueryMessage:
    query = dns.message.make_query(OWNER, RdataType.TXT, use_edns=0)
    query.id = number
    return query


@st.composite
def replies(draw: st.DrawFn) -> tuple[QueryMessage, bytes]:
    """A well-formed response to the query, with any code, flags and records."""
    query = query_with_id(draw(st.integers(0, 65535)))
    response = dns.message.make_response(query)
    response.set_rcode(draw(st.sampled_from([Rcode.NOERROR, Rcode.NXDOMAIN, *Rcode])))
    if draw(st.integers(0, 9)) == 0:
        response.flags |= dns.flags.TC
    for owner, record in draw(st.lists(records, max_size=20)):
        response.answer.append(dns.rrset.from_rdata(owner, 60, record))
    return query, response.to_wire(max_size=65535)


def check_outcome(outcome: Outcome | Truncated) -> None:
    assert isinstance(outcome, OUTCOMES)
    if isinstance(outcome, Truncated):
        return
    judgement = judge(QUESTION, [outcome], [outcome])
    text = json.dumps(judgement.detail)
    assert "\\u0000" not in text  # which JSONB refuses
    assert len(text) < 20_000


@given(st.binary(max_size=600))
def test_arbitrary_bytes_are_an_outcome(wire: bytes) -> None:
    check_outcome(interpret(query_with_id(1), wire, "r"))


@given(st.binary(max_size=600))
def test_arbitrary_bytes_after_a_fitting_header_are_an_outcome(rest: bytes) -> None:
    query = query_with_id(1)
    header = query.to_wire()[:2] + b"\x81\x80\x00\x01\x00\x04\x00\x00\x00\x00"
    question = query.to_wire()[12 : 12 + len(OWNER.to_wire()) + 4]
    check_outcome(interpret(query, header + question + rest, "r"))


@given(replies(), st.data())
def test_a_damaged_reply_is_an_outcome(made: tuple[QueryMessage, bytes], data: st.DataObject) -> None:
    query, wire = made
    damaged = bytearray(wire[: data.draw(st.integers(0, len(wire)))])
    for _ in range(data.draw(st.integers(0, 4))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    check_outcome(interpret(query, bytes(damaged), "r"))


@given(replies())
def test_a_well_formed_reply_is_read_by_its_code(made: tuple[QueryMessage, bytes]) -> None:
    query, wire = made
    outcome = interpret(query, wire, "r")
    check_outcome(outcome)
    message = dns.message.from_wire(wire)
    if message.flags & dns.flags.TC:
        assert outcome is Truncated.TRUNCATED
    elif message.rcode() == Rcode.SERVFAIL:
        assert isinstance(outcome, ServFail)
    elif message.rcode() == Rcode.NXDOMAIN:
        assert isinstance(outcome, NoName | Malformed)
    elif message.rcode() == Rcode.NOERROR:
        assert isinstance(outcome, Answer | NoData | Malformed)
    else:
        assert isinstance(outcome, Refused)


@given(st.lists(texts, min_size=1, max_size=10))
def test_the_values_are_the_joined_strings_of_each_record(strings: list[list[bytes]]) -> None:
    query = query_with_id(7)
    response = dns.message.make_response(query)
    response.answer.append(
        dns.rrset.from_rdata_list(OWNER, 60, [TXT(RdataClass.IN, RdataType.TXT, parts) for parts in strings])
    )
    outcome = interpret(query, response.to_wire(max_size=65535), "r")
    assert isinstance(outcome, Answer)
    assert set(outcome.values) == {b"".join(parts) for parts in strings}
