"""The RFCs' own examples as tables, then what zones do beside them."""

from __future__ import annotations

import pytest

from control.dns.caa import CaaRecord, Grant, Reason, Verdict, climb, permits

ACCOUNT = "https://ca1.example.net/account/1234"


def verdict(
    records: list[str],
    identity: str = "ca1.example.net",
    *,
    wildcard: bool = False,
    account: str | None = ACCOUNT,
    method: str = "http-01",
) -> Verdict:
    parsed = [CaaRecord.parse(record.encode()) for record in records]
    return permits(parsed, [identity], wildcard=wildcard, account_url=account, method=method)


# RFC 8659, section 4: set, CA, wildcard, whether it may.
RFC_8659 = {
    "4.2: only one CA": (['0 issue "ca1.example.net"'], "ca1.example.net", False, Reason.GRANTED),
    "4.2: another CA": (['0 issue "ca1.example.net"'], "ca2.example.org", False, Reason.ISSUER_NOT_NAMED),
    "4.2: two CAs": (['0 issue "ca1.example.net"', '0 issue "ca2.example.org"'], "ca2.example.org", False, "granted"),
    "4.2: nobody": (['0 issue ";"'], "ca1.example.net", False, Reason.NOBODY_MAY),
    "4.2: malformed is as nobody": (['0 issue "%%%%%"'], "ca1.example.net", False, Reason.MALFORMED),
    "4.2: parameters": (['0 issue "ca1.example.net; account=230123"'], "ca1.example.net", False, Reason.GRANTED),
    "4.2: a grant beside nobody": (['0 issue "ca1.example.net"', '0 issue ";"'], "ca1.example.net", False, "granted"),
    "4.3: wildcards by one CA": (
        ['0 issue "ca1.example.net"', '0 issuewild "ca2.example.org"'],
        "ca2.example.org",
        True,
        Reason.GRANTED,
    ),
    "4.3: and by no other": (
        ['0 issue "ca1.example.net"', '0 issuewild "ca2.example.org"'],
        "ca1.example.net",
        True,
        Reason.ISSUER_NOT_NAMED,
    ),
    "4.3: names by the other": (
        ['0 issue "ca1.example.net"', '0 issuewild "ca2.example.org"'],
        "ca1.example.net",
        False,
        Reason.GRANTED,
    ),
    "4.3: nobody may a wildcard": (
        ['0 issue "ca1.example.net"', '0 issuewild ";"'],
        "ca1.example.net",
        True,
        Reason.NOBODY_MAY,
    ),
    "4.3: without issuewild, issue decides": (['0 issue "ca1.example.net"'], "ca1.example.net", True, "granted"),
    "4.3: issuewild alone restricts no name": (['0 issuewild "ca1.example.net"'], "x.example", False, "unrestricted"),
    "4.4: iodef alone restricts nobody": (
        ['0 iodef "mailto:security@example.com"'],
        "ca1.example.net",
        False,
        Reason.UNRESTRICTED,
    ),
    "4.5: critical and unknown": (
        ['0 issue "ca1.example.net"', '128 tbs "Unknown"'],
        "ca1.example.net",
        False,
        Reason.CRITICAL_UNKNOWN,
    ),
    "4.1: unknown and not critical": (['0 issue "ca1.example.net"', '0 tbs "x"'], "ca1.example.net", False, "granted"),
    "3: no records": ([], "ca1.example.net", False, Reason.NO_RECORDS),
}


@pytest.mark.parametrize("example", RFC_8659)
def test_the_examples_of_rfc_8659(example: str) -> None:
    records, identity, wildcard, reason = RFC_8659[example]
    assert verdict(records, identity, wildcard=wildcard).reason == reason


# RFC 8657, appendix A: what a parameter adds to `issue "example.net`, account, method, whether it may.
ONE, TWO = "https://example.net/account/1234", "https://example.net/account/2345"
RFC_8657 = {
    "A.1: the account": (f"; accounturi={ONE}", ONE, "http-01", "granted"),
    "A.1: another account": (f"; accounturi={ONE}", TWO, "http-01", "account_not_allowed"),
    "A.2: the method": ("; validationmethods=dns-01", ONE, "dns-01", "granted"),
    "A.2: another method": ("; validationmethods=dns-01", ONE, "http-01", "method_not_allowed"),
    "A.3: one of two methods": ("; validationmethods=dns-01,ca-foo", ONE, "dns-01", "granted"),
    "A.4: both": (f"; accounturi={ONE}; validationmethods=dns-01", ONE, "dns-01", "granted"),
    "A.4: the account only": (f"; accounturi={ONE}; validationmethods=dns-01", ONE, "http-01", "method_not_allowed"),
    "A.4: the method only": (f"; accounturi={ONE}; validationmethods=dns-01", TWO, "dns-01", "account_not_allowed"),
    "3: several accounts are unsatisfiable": (
        f"; accounturi={ONE}; accounturi={TWO}",
        ONE,
        "http-01",
        "account_not_allowed",
    ),
    "3: an account before there is one": (f"; accounturi={ONE}", None, "http-01", "account_not_allowed"),
    "4: no method at all": ("; validationmethods=", ONE, "http-01", "method_not_allowed"),
    "4: a label outside the grammar": ("; validationmethods=http-01,a_b", ONE, "http-01", "method_not_allowed"),
    "several lists of methods": (
        "; validationmethods=http-01; validationmethods=dns-01",
        ONE,
        "http-01",
        "method_not_allowed",
    ),
    "parameters nobody knows": ("; policy=ev; x-y=z", ONE, "http-01", "granted"),
}


@pytest.mark.parametrize("example", RFC_8657)
def test_the_parameters_of_rfc_8657(example: str) -> None:
    parameters, account, method, reason = RFC_8657[example]
    assert verdict([f'0 issue "example.net{parameters}"'], "example.net", account=account, method=method).reason == (
        reason
    )


def test_two_properties_may_each_grant_an_account() -> None:
    """RFC 8657, appendix A.1's set, from which a CA may choose the property that fits."""
    records = [f'0 issue "example.net; accounturi={ONE}"', f'0 issue "example.net; accounturi={TWO}"']
    assert verdict(records, "example.net", account=TWO).record == CaaRecord.parse(records[1].encode())


@pytest.mark.parametrize(
    ("value", "grant"),
    [
        (b"ca.example", Grant("ca.example")),
        (b"  CA.Example \t", Grant("ca.example")),
        (b"ca.example;", Grant("ca.example")),
        (b"ca.example ; ", Grant("ca.example")),
        (b"", Grant("")),
        (b";", Grant("")),
        (b" ; a=b", Grant("", (("a", "b"),))),
        (b"ca.example; a = b ;c=", Grant("ca.example", (("a", "b"), ("c", "")))),
        (b"ca.example; a=b=c", Grant("ca.example", (("a", "b=c"),))),
        (b"ca.example; a=b;", None),
        (b"ca.example;;", None),
        (b"ca.example; a", None),
        (b"ca.example; =b", None),
        (b"ca.example; a=b c", None),
        (b"ca.example; a_b=c", None),
        (b"ca..example", None),
        (b"ca.example.", None),
        (b"-ca.example", None),
        (b"https://ca.example", None),
        (b"ca.example, other.example", None),
        (b"c\xc3\xa4.example", None),
        (b"ca.example\n", None),
    ],
)
def test_a_value_is_read_by_the_grammar_or_names_nobody(value: bytes, grant: Grant | None) -> None:
    assert Grant.parse(value) == grant


def test_tags_and_issuers_have_no_case() -> None:
    assert verdict(['0 ISSUE "CA1.Example.NET"']).permitted
    assert not verdict(['0 Issue "other.example"']).permitted


def test_a_critical_property_that_is_known_forbids_nothing() -> None:
    assert verdict(['128 issue "ca1.example.net"', '128 iodef "mailto:a@b.example"', '128 issuemail ";"']).permitted


def test_the_bit_that_many_zones_take_for_the_critical_one_counts_as_one() -> None:
    assert verdict(['1 tbs "x"']).reason == "critical_unknown"
    assert verdict(['2 tbs "x"']).reason == "unrestricted"


def test_the_nearest_miss_is_told() -> None:
    records = ['0 issue ";"', '0 issue "other.example"', '0 issue "ca1.example.net; validationmethods=dns-01"']
    found = verdict(records)
    assert (found.reason, found.record) == ("method_not_allowed", CaaRecord.parse(records[2].encode()))


def test_a_ca_that_does_not_name_itself_is_not_forbidden() -> None:
    assert permits([CaaRecord(0, "issue", b";")], [], wildcard=False, account_url=None, method="http-01") == Verdict(
        Reason.IDENTITY_UNKNOWN
    )


def test_any_of_a_cas_names_will_do() -> None:
    record = CaaRecord(0, "issue", b"sectigo.com")
    names = ["zerossl.com", "Sectigo.COM."]
    assert permits([record], names, wildcard=False, account_url=None, method="http-01").permitted


def test_the_climb_goes_to_the_top_level_domain_and_not_to_the_root() -> None:
    assert climb("a.b.example.co.uk") == ["a.b.example.co.uk", "b.example.co.uk", "example.co.uk", "co.uk", "uk"]
    assert climb("*.x.example") == ["x.example", "example"]


@pytest.mark.parametrize("text", [b"", b"0 issue", b"256 issue x", b"0 is-sue x", b"\xff"])
def test_what_is_no_record_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        CaaRecord.parse(text)
