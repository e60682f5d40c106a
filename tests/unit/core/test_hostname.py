"""`core.hostname`: each rule by example. The data path: test_hostname_data_path."""

import pickle
import re
import subprocess
import sys

import idna
import pytest
from publicsuffixlist import PSLFILE, encode_idn

from core import hostname as module
from core.errors import NameplateError
from core.hostname import (
    HostnameCode,
    HostnameError,
    HostnameRules,
    parse_hostname,
    registered_domain,
)

L63 = "a" * 63
NAME_253 = f"{L63}.{L63}.{L63}.{'a' * 57}.com"
NAME_254 = f"{L63}.{L63}.{L63}.{'a' * 58}.com"

REFUSED = [
    ("", "hostname_empty"),
    (".", "hostname_empty"),
    ("。", "hostname_empty"),
    ("\u00ad", "hostname_empty"),
    (NAME_254, "hostname_too_long"),
    (NAME_254 + ".", "hostname_too_long"),
    ("a" * 254, "hostname_too_long"),
    ("a." * 5000, "hostname_too_long"),
    ("*." + NAME_253, "hostname_too_long"),
    (".".join(["ü" * 10] * 18) + ".com", "hostname_too_long"),
    ("shop.example.com\x00", "control_character"),
    ("shop\x00.example.com", "control_character"),
    ("shop.example.com\r\n", "control_character"),
    ("shop.example.com\n", "control_character"),
    ("shop.example.com\r\nx-tenant-id: 1", "control_character"),
    ("shop.exa\tmple.com", "control_character"),
    (" shop.example.com", "control_character"),
    ("shop.example.com ", "control_character"),
    ("shop.example.com\x7f", "control_character"),
    ("shop.example.com\x85", "control_character"),
    ("shop.example.com\u2028", "control_character"),
    ("shop.example.com\u00a0", "control_character"),
    ("shop.example.com\u3000", "control_character"),
    ("https://shop.example.com", "has_scheme_or_path"),
    ("https://shop.example.com:443/x", "has_scheme_or_path"),
    ("shop.example.com/", "has_scheme_or_path"),
    ("shop.example.com／admin", "has_scheme_or_path"),
    ("shop.example.com?x=1", "has_scheme_or_path"),
    ("shop.example.com#top", "has_scheme_or_path"),
    ("shop.example.com\\x", "has_scheme_or_path"),
    ("me@example.com", "has_scheme_or_path"),
    ("192.0.2.1", "ip_address"),
    ("192.0.2.1.", "ip_address"),
    ("192.0.2.1:443", "ip_address"),
    ("１９２.0.2.1", "ip_address"),
    ("192。0。2。1", "ip_address"),
    ("127.1", "ip_address"),
    ("127.0.1", "ip_address"),
    ("0x7f.1", "ip_address"),
    ("0X7F.1", "ip_address"),
    ("0X7F.0X1:443", "ip_address"),
    ("0x7f000001", "ip_address"),
    ("1.0x", "ip_address"),
    ("0177.0.0.1", "ip_address"),
    ("2130706433", "ip_address"),
    ("999.999.999.999", "ip_address"),
    ("shop.123", "ip_address"),
    ("*.0.2.1", "ip_address"),
    ("2001:db8::1", "ip_address"),
    ("::1", "ip_address"),
    ("[2001:db8::1]", "ip_address"),
    ("[2001:db8::1]:443", "ip_address"),
    ("[::ffff:192.0.2.1]", "ip_address"),
    ("fe80::1%eth0", "ip_address"),
    ("shop.example.com:443", "has_port"),
    ("shop.example.com:", "has_port"),
    ("shop.example.com：443", "has_port"),
    ("münchen.example:8443", "has_port"),
    ("sh\u202eop.example.com", "hostname_not_ascii_idna"),
    ("shop\ud800.example.com", "hostname_not_ascii_idna"),
    ("\u0301a.example.com", "hostname_not_ascii_idna"),
    ("☃.example.com", "hostname_not_ascii_idna"),
    ("💩.example.com", "hostname_not_ascii_idna"),
    ("אa.example.com", "hostname_not_ascii_idna"),
    ("xn--.example.com", "label_invalid"),
    ("xn--a.example.com", "hostname_not_ascii_idna"),
    ("xn--shop-.example.com", "label_invalid"),
    ("xn--0.example.com", "hostname_not_ascii_idna"),
    ("xn---bbk.example.com", "hostname_not_ascii_idna"),
    ("xn--mnchen-3ya-.example.com", "label_invalid"),
    ("xn--bcher-kv.example.com", "hostname_not_ascii_idna"),
    ("*", "wildcard_misplaced"),
    ("*.", "wildcard_misplaced"),
    ("**.example.com", "wildcard_misplaced"),
    ("*.*.example.com", "wildcard_misplaced"),
    ("shop.*.example.com", "wildcard_misplaced"),
    ("shop.example.*", "wildcard_misplaced"),
    ("sh*p.example.com", "wildcard_misplaced"),
    ("*shop.example.com", "wildcard_misplaced"),
    ("shop*.example.com", "wildcard_misplaced"),
    ("a..example.com", "label_empty"),
    (".example.com", "label_empty"),
    ("example.com..", "label_empty"),
    ("*..example.com", "label_empty"),
    ("..", "label_empty"),
    ("a。。example.com", "label_empty"),
    ("a" * 64 + ".example.com", "label_too_long"),
    ("*." + "a" * 64 + ".example.com", "label_too_long"),
    ("ü" * 60 + ".example.com", "label_too_long"),
    ("xn--" + "a" * 60 + ".example.com", "label_too_long"),
    ("my_shop.example.com", "label_invalid"),
    ("_dmarc.example.com", "label_invalid"),
    ("mü_nchen.example.com", "label_invalid"),
    ("-shop.example.com", "label_invalid"),
    ("shop-.example.com", "label_invalid"),
    ("my--shop.example.com", "label_invalid"),
    ("shop!.example.com", "label_invalid"),
    ("shop%00.example.com", "label_invalid"),
    ("shop%2eexample.com", "label_invalid"),
    ("shop'.example.com", "label_invalid"),
    ("a:b:c.example.com", "label_invalid"),
    ("[shop.example.com]", "label_invalid"),
    ("localhost", "localhost"),
    ("LOCALHOST.", "localhost"),
    ("a.b.localhost", "localhost"),
    ("*.localhost", "localhost"),
    ("platform.io", "platform_domain"),
    ("PLATFORM.io.", "platform_domain"),
    ("tenant-123.platform.io", "platform_domain"),
    ("*.platform.io", "platform_domain"),
    ("*.a.platform.io", "platform_domain"),
    ("corp.example.net", "blocked_suffix"),
    ("a.corp.example.net", "blocked_suffix"),
    ("*.corp.example.net", "blocked_suffix"),
    ("*.example.net", "blocked_suffix"),
    ("xn--bcher-kva.example.net", "blocked_suffix"),
    ("a.bücher.example.net", "blocked_suffix"),
    ("router.internal", "blocked_suffix"),
    ("*.co.uk", "wildcard_public_suffix"),
    ("*.uk", "wildcard_public_suffix"),
    ("*.com", "wildcard_public_suffix"),
    ("*.github.io", "wildcard_public_suffix"),
    ("*.intranet", "wildcard_public_suffix"),
    ("*.公司.cn", "wildcard_public_suffix"),
    ("com", "single_label"),
    ("intranet", "single_label"),
    ("co.uk", "public_suffix"),
    ("CO.UK.", "public_suffix"),
    ("github.io", "public_suffix"),
    ("公司.cn", "public_suffix"),
    ("xn--55qx5d.cn", "public_suffix"),
    ("foo.ck", "public_suffix"),
    ("*.example.com", "wildcard_not_allowed"),
]

ACCEPTED = [
    ("mycompany.com", "mycompany.com"),
    ("Shop.MyBrand.CO", "shop.mybrand.co"),
    ("shop.mybrand.co.", "shop.mybrand.co"),
    ("a.b", "a.b"),
    ("1.example.com", "1.example.com"),
    ("123.456.example", "123.456.example"),
    ("0x7f.example.com", "0x7f.example.com"),
    ("shop.0xyz", "shop.0xyz"),
    ("a-b---c.example.com", "a-b---c.example.com"),
    ("a" * 63 + ".example.com", "a" * 63 + ".example.com"),
    (NAME_253, NAME_253),
    (NAME_253 + ".", NAME_253),
    ("bücher.example.com", "xn--bcher-kva.example.com"),
    ("BÜCHER.example.com", "xn--bcher-kva.example.com"),
    ("bu\u0308cher.example.com", "xn--bcher-kva.example.com"),
    ("xn--bcher-kva.example.com", "xn--bcher-kva.example.com"),
    ("XN--BCHER-KVA.example.com", "xn--bcher-kva.example.com"),
    ("ｓｈｏｐ．ｅｘａｍｐｌｅ．ｃｏｍ", "shop.example.com"),
    ("shop。example｡com．", "shop.example.com"),
    ("sh\u00adop.example.com", "shop.example.com"),
    ("straße.example.com", "xn--strae-oqa.example.com"),
    ("\u212aelvin.example.com", "kelvin.example.com"),
    ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
    ("foo.github.io", "foo.github.io"),
    ("www.ck", "www.ck"),
    ("example.co.uk", "example.co.uk"),
    ("notplatform.io", "notplatform.io"),
    ("platform.io.example.com", "platform.io.example.com"),
    ("mylocalhost.com", "mylocalhost.com"),
    ("localhost.example.com", "localhost.example.com"),
    ("example.net", "example.net"),
    ("shop.unknown-tld", "shop.unknown-tld"),
]


@pytest.fixture(scope="module")
def rules() -> HostnameRules:
    return HostnameRules("Platform.IO.", ("corp.example.net", "bücher.example.net", "internal"))


@pytest.mark.parametrize(("text", "code"), REFUSED)
def test_a_bad_hostname_is_refused_with_the_code_of_its_rule(text: str, code: str, rules: HostnameRules) -> None:
    with pytest.raises(HostnameError) as refusal:
        parse_hostname(text, rules=rules)
    assert refusal.value.code == code
    assert refusal.value.message.endswith(".")


@pytest.mark.parametrize(("text", "expected"), ACCEPTED)
def test_a_good_hostname_becomes_its_normal_form(text: str, expected: str, rules: HostnameRules) -> None:
    assert parse_hostname(text, rules=rules) == expected


def test_the_examples_use_every_code() -> None:
    assert {code for _, code in REFUSED} == {code.value for code in HostnameCode}


def test_the_table_in_the_docstring_lists_every_code_and_no_other() -> None:
    assert module.__doc__ is not None
    listed = set(re.findall(r"^\| [ \d]{2} \| (\w+_\w+|localhost)\b", module.__doc__, re.MULTILINE))
    assert listed == {code.value for code in HostnameCode}


@pytest.mark.parametrize(
    ("text", "code"), [pair for pair in REFUSED if "*" in pair[0] and pair[1] != "wildcard_not_allowed"]
)
def test_a_bad_wildcard_is_refused_where_wildcards_are_allowed_too(text: str, code: str, rules: HostnameRules) -> None:
    with pytest.raises(HostnameError) as refusal:
        parse_hostname(text, allow_wildcard=True, rules=rules)
    assert refusal.value.code == code


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*.Example.com.", "*.example.com"),
        ("＊.bücher.example", "*.xn--bcher-kva.example"),
        ("*.shop.example.co.uk", "*.shop.example.co.uk"),
        ("*.foo.github.io", "*.foo.github.io"),
    ],
)
def test_a_wildcard_is_the_whole_leftmost_label(text: str, expected: str, rules: HostnameRules) -> None:
    assert parse_hostname(text, allow_wildcard=True, rules=rules) == expected


def test_a_wildcard_that_covers_the_platform_domain_is_refused() -> None:
    rules = HostnameRules("apps.platform.example")
    assert parse_hostname("platform.example", rules=rules) == "platform.example"
    with pytest.raises(HostnameError) as refusal:
        parse_hostname("*.platform.example", allow_wildcard=True, rules=rules)
    assert refusal.value.code == "platform_domain"


def test_a_platform_domain_that_is_a_public_suffix_is_refused_as_the_platform_domain() -> None:
    with pytest.raises(HostnameError) as refusal:
        parse_hostname("github.io", rules=HostnameRules("github.io"))
    assert refusal.value.code == "platform_domain"


def test_an_underscore_has_its_own_sentence(rules: HostnameRules) -> None:
    with pytest.raises(HostnameError, match="Underscores are not allowed"):
        parse_hostname("my_shop.example.com", rules=rules)


@pytest.mark.parametrize("bad", ["", "192.0.2.1", "*.platform.io", "https://platform.io"])
def test_rules_cannot_be_made_with_a_platform_domain_that_is_no_hostname(bad: str) -> None:
    with pytest.raises(HostnameError):
        HostnameRules(bad)


def test_a_hostname_error_is_a_nameplate_error_and_survives_pickling() -> None:
    error = HostnameError(HostnameCode.HAS_PORT, "A sentence.")
    copy = pickle.loads(pickle.dumps(error))
    assert isinstance(copy, NameplateError)
    assert (copy.code, copy.message, str(copy)) == ("has_port", "A sentence.", "A sentence.")


def test_a_hostname_error_with_an_unknown_code_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="no_such_code"):
        HostnameError("no_such_code", "A sentence.")


@pytest.mark.parametrize(
    ("hostname", "expected"),
    [
        ("mycompany.com", "mycompany.com"),
        ("a.b.mycompany.com", "mycompany.com"),
        ("*.b.mycompany.co.uk", "mycompany.co.uk"),
        ("a.foo.github.io", "foo.github.io"),
        ("shop.www.ck", "www.ck"),
        ("a.b.xn--55qx5d.cn", "b.xn--55qx5d.cn"),
        ("a.b.unknown-tld", "b.unknown-tld"),
        ("co.uk", "co.uk"),
    ],
)
def test_the_registered_domain_is_the_public_suffix_and_one_label(
    hostname: str, expected: str, rules: HostnameRules
) -> None:
    assert registered_domain(hostname, rules=rules) == expected


def test_every_rule_of_the_public_suffix_list_has_the_a_labels_that_we_use() -> None:
    """The package makes A-labels by IDNA 2003, we by IDNA 2008: a rule on which they differ would never match."""
    with open(PSLFILE, encoding="utf-8") as lines:
        suffixes = [line.split(" ")[0].strip().lower() for line in lines]
    names = [s.lstrip("!").removeprefix("*.") for s in suffixes if s and not s.startswith("//")]
    assert len(names) > 9000
    assert [n for n in names if encode_idn(n) != idna.encode(n, uts46=True).decode()] == []


def test_importing_the_module_does_not_read_the_public_suffix_list() -> None:
    program = (
        "import sys; opened = []\n"
        "sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == 'open' else None)\n"
        "import core.hostname\n"
        "assert opened\n"
        "assert not [name for name in opened if name.endswith('.dat')], opened\n"
        "core.hostname.HostnameRules('platform.io')\n"
        "assert [name for name in opened if name.endswith('.dat')]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
