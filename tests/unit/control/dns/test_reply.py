import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from dns.message import QueryMessage
from dns.rcode import Rcode

from control.dns.outcome import Answer, Malformed, NoData, NoName, Refused, ServFail
from control.dns.reply import Truncated, interpret

NAME = "_platform-verify.shop.example.com."


def ask(rdtype: str = "TXT", name: str = NAME) -> QueryMessage:
    return dns.message.make_query(name, rdtype, use_edns=0)


def reply(query: QueryMessage, *records: str, rcode: Rcode = Rcode.NOERROR, flags: int = 0) -> bytes:
    """`records`: lines of `name type data`."""
    response = dns.message.make_response(query)
    response.set_rcode(rcode)
    response.flags |= flags
    for record in records:
        name, rdtype, data = record.split(" ", 2)
        response.answer.append(dns.rrset.from_text(name, 60, "IN", rdtype, data))
    return response.to_wire()


def test_several_records_are_several_values_and_one_records_strings_are_joined() -> None:
    query = ask()
    wire = reply(query, f'{NAME} TXT "verify-" "abc" "def"', f'{NAME} TXT "other"')
    outcome = interpret(query, wire, "r")
    assert isinstance(outcome, Answer)
    assert set(outcome.values) == {b"verify-abcdef", b"other"}


def test_the_chain_of_a_cname_is_kept_in_order_and_in_lower_case() -> None:
    query = ask("A", "shop.example.com.")
    wire = reply(
        query,
        "shop.example.com. CNAME Edge.Example.NET.",
        "edge.example.net. CNAME custom.platform.io.",
        "custom.platform.io. A 192.0.2.1",
    )
    assert interpret(query, wire, "r") == Answer("r", (b"192.0.2.1",), ("edge.example.net", "custom.platform.io"))


def test_a_txt_name_that_is_a_cname_is_followed() -> None:
    query = ask()
    wire = reply(query, f"{NAME} CNAME verify.registrar.example.", 'verify.registrar.example. TXT "verify-abc"')
    assert interpret(query, wire, "r") == Answer("r", (b"verify-abc",), ("verify.registrar.example",))


def test_a_chain_that_ends_nowhere_is_nxdomain_and_keeps_its_links() -> None:
    query = ask("A", "shop.example.com.")
    wire = reply(query, "shop.example.com. CNAME gone.example.net.", rcode=Rcode.NXDOMAIN)
    assert interpret(query, wire, "r") == NoName("r", ("gone.example.net",))


def test_a_loop_of_cnames_is_malformed() -> None:
    query = ask("A", "a.example.com.")
    wire = reply(query, "a.example.com. CNAME b.example.com.", "b.example.com. CNAME a.example.com.")
    assert interpret(query, wire, "r") == Malformed("r")


def test_no_records_with_noerror_is_nodata_whatever_else_is_in_the_answer() -> None:
    query = ask()
    assert interpret(query, reply(query), "r") == NoData("r")
    assert interpret(query, reply(query, 'unrelated.example.com. TXT "verify-abc"'), "r") == NoData("r")


@pytest.mark.parametrize(
    ("rcode", "outcome"),
    [
        (Rcode.NXDOMAIN, NoName("r")),
        (Rcode.SERVFAIL, ServFail("r")),
        (Rcode.REFUSED, Refused("r")),
        (Rcode.NOTIMP, Refused("r", "NOTIMP")),
        (Rcode.FORMERR, Refused("r", "FORMERR")),
    ],
)
def test_response_codes_are_told_apart(rcode: Rcode, outcome: object) -> None:
    query = ask()
    assert interpret(query, reply(query, rcode=rcode), "r") == outcome


def test_an_extended_error_gives_servfail_its_reason() -> None:
    query = ask()
    response = dns.message.make_response(query)
    response.set_rcode(Rcode.SERVFAIL)
    response.use_edns(0, options=[dns.edns.EDEOption(dns.edns.EDECode.DNSSEC_BOGUS, "free text")])
    assert interpret(query, response.to_wire(), "r") == ServFail("r", "dnssec_bogus")


def test_truncation_is_reported_even_when_the_message_is_cut_within_a_record() -> None:
    query = ask()
    wire = reply(query, f'{NAME} TXT "{"x" * 200}"', flags=dns.flags.TC)
    assert interpret(query, wire, "r") is Truncated.TRUNCATED
    assert interpret(query, wire[:-150], "r") is Truncated.TRUNCATED


def test_a_truncated_message_for_another_question_is_malformed() -> None:
    query, other = ask(), ask(name="other.example.com.")
    other.id = query.id
    assert interpret(query, reply(other, flags=dns.flags.TC), "r") == Malformed("r")


def test_another_id_another_question_or_the_query_itself_is_malformed() -> None:
    query = ask()
    foreign = ask()
    foreign.id = (query.id + 1) % 65536
    other = ask(name="other.example.com.")
    other.id = query.id
    assert interpret(query, reply(foreign, f'{NAME} TXT "verify-abc"'), "r") == Malformed("r")
    assert interpret(query, reply(other, f'{NAME} TXT "verify-abc"'), "r") == Malformed("r")
    assert interpret(query, query.to_wire(), "r") == Malformed("r")


def test_records_with_nxdomain_contradict_each_other_and_are_malformed() -> None:
    query = ask()
    wire = reply(query, f'{NAME} TXT "verify-abc"', rcode=Rcode.NXDOMAIN)
    assert interpret(query, wire, "r") == Malformed("r")
