"""`core.hostname` on the data path: what an SNI and a Host header are looked up by."""

import pytest

from core.hostname import normalize_host_header, normalize_sni

L63 = "a" * 63
NAME_253 = f"{L63}.{L63}.{L63}.{'a' * 57}.com"
NAME_254 = f"{L63}.{L63}.{L63}.{'a' * 58}.com"

NOT_ON_THE_DATA_PATH = [
    "",
    ".",
    "*",
    "*.example.com",
    "localhost",
    "192.0.2.1",
    "127.1",
    "0x7f.1",
    "0X7F.0X1",
    "2130706433",
    "shop.123",
    "::1",
    "[::1]",
    "[2001:db8::1]",
    "a..b",
    ".example.com",
    "example.com..",
    "my_shop.example.com",
    "-shop.example.com",
    "shop-.example.com",
    "shop.example.com-",
    "a" * 64 + ".com",
    NAME_254,
    "a." * 100_000,
    "shop.example.com\n",
    "shop.example.com\x00",
    "shop example.com",
    "%00.example.com",
    "x'y.example.com",
    "bücher.example.com",
    "\u212aelvin.example.com",
    "shop。example.com",
    "１２７.0.0.1",
    "shop\ud800.example.com",
    "shop.example.com/",
]


@pytest.mark.parametrize("name", [*NOT_ON_THE_DATA_PATH, "shop.example.com.", "shop.example.com:443"])
def test_an_sni_that_is_no_dns_name_has_no_key(name: str) -> None:
    assert normalize_sni(name) is None


@pytest.mark.parametrize(
    "host",
    [
        *NOT_ON_THE_DATA_PATH,
        "[::1]:443",
        "192.0.2.1:80",
        "192.0.2.1.",
        "shop.example.com:44x",
        "shop.example.com:123456",
        "shop.example.com::1",
        "shop.example.com:443:443",
        "shop.example.com:443.",
        "shop.example.com:443\n",
        "shop.example.com..:443",
        "shop.example.com:٤٤٣",
        ":443",
        ".:443",
        NAME_254 + ":443",
    ],
)
def test_a_host_header_that_is_no_dns_name_has_no_key(host: str) -> None:
    assert normalize_host_header(host) is None


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("shop.example.com", "shop.example.com"),
        ("Shop.EXAMPLE.com", "shop.example.com"),
        ("xn--bcher-kva.example.com", "xn--bcher-kva.example.com"),
        ("1.2.3.4.example", "1.2.3.4.example"),
        ("a.0xyz", "a.0xyz"),
        (NAME_253, NAME_253),
        (NAME_253.upper(), NAME_253),
    ],
)
def test_letter_case_does_not_matter_on_the_data_path(name: str, key: str) -> None:
    assert normalize_sni(name) == key
    assert normalize_host_header(name) == key


@pytest.mark.parametrize(
    "host",
    [
        "shop.example.com:443",
        "shop.example.com:65535",
        "shop.example.com:",
        "shop.example.com.",
        "SHOP.example.com.:8443",
    ],
)
def test_a_port_and_one_final_dot_of_a_host_header_are_dropped(host: str) -> None:
    assert normalize_host_header(host) == "shop.example.com"


def test_a_host_header_of_full_length_may_still_have_a_dot_and_a_port() -> None:
    assert normalize_host_header(NAME_253 + ".:65535") == NAME_253


def test_a_name_in_normal_form_is_returned_without_a_copy() -> None:
    name = "".join(["shop", ".example.com"])
    assert normalize_sni(name) is name
    assert normalize_host_header(name) is name
