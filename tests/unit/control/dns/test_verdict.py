import json

import pytest

from control.dns.outcome import (
    Answer,
    Malformed,
    NoData,
    NoName,
    Outcome,
    Refused,
    ServFail,
    Timeout,
    Unreachable,
)
from control.dns.verdict import EXPLANATIONS, SHOWN_LENGTH, SHOWN_VALUES, Code, Judgement, Question, judge

QUESTION = Question("shop.example.com", "_platform-verify.shop.example.com", "verify-Abc123", "custom.platform.io")
VALUE = b"verify-Abc123"
LED = Answer("a", (b"192.0.2.1",), ("custom.platform.io",))


def of(txt: list[Outcome] | None, cname: list[Outcome] | None = None) -> Judgement:
    return judge(QUESTION, txt, cname or [])


def test_the_value_at_the_only_resolver_is_proof() -> None:
    judgement = of([Answer("a", (VALUE,))])
    assert (judgement.verdict, judgement.code, judgement.who) == ("proven_txt", "txt_found", "nobody")
    assert judgement.detail == {
        "name": "_platform-verify.shop.example.com",
        "expected": "verify-Abc123",
        "found": ["verify-Abc123"],
        "resolvers": {"a": "found"},
    }


@pytest.mark.parametrize(
    "value", [b' "verify-Abc123" ', b"'verify-Abc123'", b"verify-Abc123\r\n", b'\t"verify-Abc123" \'']
)
def test_white_space_and_quotes_that_a_form_added_do_not_matter(value: bytes) -> None:
    assert of([Answer("a", (value,))]).verdict == "proven_txt"


@pytest.mark.parametrize(
    "value", [b"verify-abc123", b"Verify-Abc123", b"verify-Abc1234", b"verify-Abc12", b"verify- Abc123", b"Abc123", b""]
)
def test_a_value_that_differs_in_case_or_length_is_a_mismatch(value: bytes) -> None:
    judgement = of([Answer("a", (value,))])
    assert (judgement.verdict, judgement.code, judgement.who) == ("absent", "txt_mismatch", "tenant")


def test_any_of_several_records_is_enough() -> None:
    assert of([Answer("a", (b"v=spf1 -all", b"verify-other", VALUE))]).verdict == "proven_txt"


@pytest.mark.parametrize("other", [NoName("b"), NoData("b"), Answer("b", (b"verify-old",)), Answer("b", ())])
def test_a_resolver_that_definitively_lacks_the_value_means_it_is_propagating(other: Outcome) -> None:
    judgement = of([Answer("a", (VALUE,)), other])
    assert (judgement.verdict, judgement.code) == ("partial", "txt_propagating")


@pytest.mark.parametrize("other", [ServFail("b"), Refused("b"), Timeout("b"), Unreachable("b"), Malformed("b")])
def test_a_resolver_that_fails_does_not_block_a_proof_and_is_named(other: Outcome) -> None:
    judgement = of([Answer("a", (VALUE,)), other])
    assert judgement.verdict == "proven_txt"
    assert judgement.detail["resolvers"]["b"] == type(other).__name__.lower()


@pytest.mark.parametrize(
    ("txt", "code", "who"),
    [
        ([NoName("a")], Code.TXT_NAME_MISSING, "tenant"),
        ([NoData("a")], Code.TXT_NO_RECORD, "tenant"),
        ([NoName("a"), NoData("b")], Code.TXT_NO_RECORD, "tenant"),
        ([NoName("a"), ServFail("b")], Code.TXT_NAME_MISSING, "tenant"),
        ([NoName("a"), Answer("b", (b"x",))], Code.TXT_MISMATCH, "tenant"),
        ([Timeout("a"), ServFail("b")], Code.DNS_SERVFAIL, "tenant"),
        ([Timeout("a"), Refused("b")], Code.DNS_REFUSED, "operator"),
        ([Timeout("a"), Unreachable("b")], Code.DNS_TIMEOUT, "operator"),
        ([Unreachable("a")], Code.DNS_UNREACHABLE, "operator"),
        ([Malformed("a")], Code.DNS_MALFORMED, "operator"),
        (None, Code.TXT_NAME_TOO_LONG, "tenant"),
    ],
)
def test_the_most_telling_reason_is_reported(txt: list[Outcome] | None, code: Code, who: str) -> None:
    judgement = of(txt)
    assert (judgement.verdict, judgement.code, judgement.who) == ("absent", code, who)


def test_the_cname_stands_in_for_a_missing_record() -> None:
    judgement = of([NoName("a")], [LED])
    assert (judgement.verdict, judgement.code) == ("proven_cname", "cname_at_platform")
    assert judgement.detail["cname"] == {
        "name": "shop.example.com",
        "expected": "custom.platform.io",
        "found": ["custom.platform.io"],
        "resolvers": {"a": "found"},
    }


@pytest.mark.parametrize("end", [NoData, NoName])
def test_the_chain_counts_even_when_the_platforms_name_has_no_address(end: type[NoData | NoName]) -> None:
    assert of([NoName("a")], [end("a", ("edge.example.net", "custom.platform.io"))]).verdict == "proven_cname"


def test_a_cname_to_elsewhere_is_no_proof() -> None:
    led_astray = Answer("a", (b"192.0.2.1",), ("custom.platform.io.evil.example",))
    assert of([NoName("a")], [led_astray]).code == Code.TXT_NAME_MISSING


def test_a_cname_that_only_some_resolvers_see_is_propagating() -> None:
    judgement = of([NoName("a"), NoName("b")], [LED, NoName("b")])
    assert (judgement.verdict, judgement.code) == ("partial", "cname_propagating")


def test_a_resolver_that_fails_does_not_block_a_proof_by_cname() -> None:
    assert of([NoName("a"), Timeout("b")], [LED, Timeout("b")]).verdict == "proven_cname"


def test_the_cname_is_no_proof_against_another_tenants_value() -> None:
    judgement = of([Answer("a", (b'"verify-of-somebody-else"',))], [LED])
    assert (judgement.verdict, judgement.code) == ("absent", "txt_mismatch")


def test_an_unrelated_record_from_a_wildcard_does_not_stand_in_the_way_of_the_cname() -> None:
    assert of([Answer("a", (b"v=spf1 -all",))], [LED]).verdict == "proven_cname"


def test_the_cname_is_no_proof_while_nobody_can_say_that_the_record_is_missing() -> None:
    judgement = of([ServFail("a"), Timeout("b")], [LED])
    assert (judgement.verdict, judgement.code) == ("absent", "dns_servfail")


def test_the_cname_is_the_only_proof_of_a_name_too_long_for_the_record() -> None:
    assert of(None, [LED]).verdict == "proven_cname"
    assert of(None, [NoName("a")]).code == Code.TXT_NAME_TOO_LONG


def test_what_is_shown_of_strange_values_is_bounded_and_fit_for_jsonb() -> None:
    values = (b"\0\x1b[31m\xff" + b"y" * 1000, b"x" * 1000, *(b"z%d" % i for i in range(20)))
    found = of([Answer("a", values)]).detail["found"]
    assert len(found) == SHOWN_VALUES
    assert all(len(value) <= SHOWN_LENGTH for value in found)
    assert found[0].startswith(r"\x00\x1b[31m\xffyyy")
    assert found[0].endswith("…")
    assert "\\u0000" not in json.dumps(found)


def test_the_order_of_records_does_not_change_the_judgement() -> None:
    assert of([Answer("a", (b"x", b"y"))]) == of([Answer("a", (b"y", b"x"))])


def test_the_reason_of_a_servfail_is_shown() -> None:
    judgement = of([ServFail("a", "dnssec_bogus")])
    assert judgement.detail["resolvers"] == {"a": "servfail: dnssec_bogus"}


def test_every_code_has_a_sentence_that_can_be_filled_in() -> None:
    assert set(EXPLANATIONS) == set(Code)
    for who, sentence in EXPLANATIONS.values():
        assert who in {"tenant", "operator", "nobody"}
        filled = sentence.format(hostname="h", txt_name="n", txt_value="v", cname_target="t")
        assert filled.endswith(".")
        assert "{" not in filled
