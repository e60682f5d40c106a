"""`core.hostname` on arbitrary text: total, idempotent, one form for all spellings, never an IP address."""

import ipaddress
import socket
import string

import dns.name
import idna
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from core.hostname import (
    HostnameCode,
    HostnameError,
    HostnameRules,
    normalize_host_header,
    normalize_sni,
    parse_hostname,
)

LDH = string.ascii_lowercase + string.digits + "-"


@pytest.fixture(scope="module")
def rules() -> HostnameRules:
    return HostnameRules("platform.io", ("internal",))


def parsed(text: str, rules: HostnameRules) -> str | None:
    try:
        return parse_hostname(text, allow_wildcard=True, rules=rules)
    except HostnameError:
        return None


# Surrogates too: JSON bodies may contain them.
ANY_TEXT = st.text(st.characters(), max_size=300)
ldh_label = st.text(LDH, min_size=1, max_size=64)
unicode_label = st.text(
    st.one_of(
        st.sampled_from("äöüßéñçλςдяאבעاب例えテストกขहि์・·ⅷﬁKÅ。．｡＊－０１ａｂ\u00ad\u200c\u200d\u0301"),
        st.characters(categories=["L", "N", "Mn", "Mc", "Pd"]),
    ),
    min_size=1,
    max_size=20,
)
a_label = unicode_label.map(lambda label: "xn--" + label.encode("punycode").decode("ascii", "replace"))
fake_a_label = ldh_label.map(lambda label: "xn--" + label)
number_label = st.from_regex(r"(0[xX])?[0-9a-fA-F]{0,6}", fullmatch=True)
label = st.one_of(
    ldh_label, unicode_label, a_label, fake_a_label, number_label, st.sampled_from(["", "*", "com", "co", "uk"])
)
LIKELY = st.builds(
    lambda labels, dot, tail: dot.join(labels) + tail,
    st.lists(label, min_size=1, max_size=6),
    st.sampled_from([".", ".", ".", "。", "．"]),
    st.sampled_from(["", "", ".", ".com", ".co.uk", ".github.io", ":443", "/", "\n"]),
)
TEXT = st.one_of(LIKELY, ANY_TEXT)

# Mostly accepted: labels of one script each, as people write them.
SCRIPTS = [
    string.ascii_letters + string.digits,
    "aeouäöüßéèñçåøœışğ",
    "αβγδεζηθικλμνξοπρστυφχψως",
    "абвгдежзийклмнопрстуфхцчшщъыьэюяёіїє",
    "אבגדהוזחטיכלמנסעפצקרשת",
    "ابتثجحخدذرزسشصضطظعغفقكلمنهوي",
    "あいうえおカキクケコ例東京網路",
    "한국도메인가나다",
    "ｓｈｏｐＡＢＣ",
]
written_label = st.sampled_from(SCRIPTS).flatmap(lambda letters: st.text(letters, min_size=1, max_size=12))
hyphenated = st.builds("{}-{}".format, st.text(string.ascii_lowercase, min_size=3, max_size=9), written_label)
NAME = st.builds(
    lambda wildcard, labels, suffix: wildcard + ".".join(labels) + suffix,
    st.sampled_from(["", "", "*."]),
    st.lists(st.one_of(written_label, hyphenated), min_size=2, max_size=5),
    st.sampled_from([".com", ".co.uk", ".github.io", ".example", ".рф", "。jp", ".xn--p1ai"]),
)


@given(TEXT)
@example("xn--" + "9" * 59 + ".com")
@example("a\u200c.com")
def test_any_text_gives_a_hostname_or_a_hostname_error(rules: HostnameRules, text: str) -> None:
    try:
        result = parse_hostname(text, allow_wildcard=True, rules=rules)
    except HostnameError as error:
        assert error.code in set(HostnameCode)
        assert error.message.isascii()
        assert error.message.isprintable()
    else:
        assert set(result) <= set(LDH + ".*")


@given(st.one_of(NAME, NAME, LIKELY))
def test_the_normal_form_is_its_own_normal_form(rules: HostnameRules, text: str) -> None:
    name = parsed(text, rules)
    assume(name is not None)
    assert name is not None
    assert parse_hostname(name, allow_wildcard=True, rules=rules) == name


@given(st.one_of(NAME, NAME, LIKELY))
def test_what_is_accepted_is_a_dns_name_that_fits_the_wire(rules: HostnameRules, text: str) -> None:
    name = parsed(text, rules)
    assume(name is not None)
    assert name is not None
    in_dns = dns.name.from_text(name)
    wire = in_dns.to_wire()
    assert len(name) <= 253
    assert wire is not None
    assert len(wire) <= 255
    assert len(in_dns.labels) >= 3
    assert all(1 <= len(part) <= 63 for part in in_dns.labels[:-1])
    assert in_dns.to_text(omit_final_dot=True) == name


@given(st.one_of(NAME, NAME, LIKELY))
def test_the_unicode_form_of_a_name_is_the_same_name(rules: HostnameRules, text: str) -> None:
    name = parsed(text, rules)
    assume(name is not None)
    assert name is not None
    wildcard = "*." if name.startswith("*.") else ""
    unicode_form = wildcard + ".".join(idna.ulabel(part) for part in name.removeprefix("*.").split("."))
    assert parse_hostname(unicode_form, allow_wildcard=True, rules=rules) == name


@given(NAME, st.data())
def test_letter_case_and_a_final_dot_do_not_matter(rules: HostnameRules, text: str, data: st.DataObject) -> None:
    name = parsed(text, rules)
    assume(name is not None)
    assert name is not None
    upper = data.draw(st.lists(st.booleans(), min_size=len(name), max_size=len(name)))
    spelt = "".join(c.upper() if up else c for c, up in zip(name, upper, strict=True))
    dot = data.draw(st.sampled_from(["", ".", "。", "．", "｡"]))
    assert parse_hostname(spelt + dot, allow_wildcard=True, rules=rules) == name


@given(st.one_of(LIKELY, st.lists(number_label, min_size=1, max_size=5).map(".".join)))
def test_nothing_that_is_accepted_is_read_as_an_ip_address(rules: HostnameRules, text: str) -> None:
    name = parsed(text, rules)
    for spelt in {name, normalize_sni(text), normalize_host_header(text)} - {None}:
        assert spelt is not None
        with pytest.raises(ValueError, match="does not appear to be"):
            ipaddress.ip_address(spelt)
        with pytest.raises(OSError, match="illegal IP address"):
            socket.inet_aton(spelt)


DRESSED_ADDRESS = st.one_of(
    st.builds(str.format, st.sampled_from(["{}", "{}.", "{}:443"]), st.ip_addresses(v=4)),
    st.builds(str.format, st.sampled_from(["{}", "[{}]", "[{}]:443"]), st.ip_addresses(v=6)),
)


@given(DRESSED_ADDRESS)
def test_an_ip_address_is_refused_in_every_dress(rules: HostnameRules, text: str) -> None:
    with pytest.raises(HostnameError) as refusal:
        parse_hostname(text, rules=rules)
    assert refusal.value.code == "ip_address"
    assert normalize_sni(text) is None
    assert normalize_host_header(text) is None


@given(st.one_of(NAME, TEXT))
@example("\u212aelvin.com")
@example("a." * 127)
def test_the_data_path_is_total_and_agrees_with_the_parser(rules: HostnameRules, text: str) -> None:
    name = parsed(text, rules)
    sni = normalize_sni(text)
    host = normalize_host_header(text)
    for key in (sni, host):
        if key is not None:
            assert set(key) <= set(LDH + ".")
            assert len(key) <= 253
            assert normalize_sni(key) == key
            assert normalize_host_header(key) == key
            assert parsed(key, rules) in (key, None)
    if name is not None:
        assert sni in (name, None)
        assert host in (name, None)


@given(NAME, st.sampled_from(["", ".", ":443", ".:443"]), st.booleans())
def test_every_name_of_the_directory_is_found_by_the_data_path(
    rules: HostnameRules, text: str, tail: str, upper: bool
) -> None:
    name = parsed(text, rules)
    assume(name is not None)
    assert name is not None
    name = name.removeprefix("*.")
    spelt = name.upper() if upper else name
    assert normalize_sni(spelt) == name
    assert normalize_host_header(spelt + tail) == name
