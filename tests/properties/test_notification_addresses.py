"""Webhook URLs and mail addresses as tenants write them: total, in one spelling, nothing smuggled."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.endpoints import AddressRefused
from control.outbox.addresses import parse_mail, parse_url
from control.outbox.guard import refusal

PIECES = """https http :// : / // @ # ? [ ] % \\ . .. - _ example.com EXAMPLE.com 127.0.0.1 2130706433 0x7f.1 ::1 [::1]
    [::ffff:127.0.0.1] 1.1.1.1 443 0 65536 user é localhost xn-- * a@b " < > , ;"""
pieces = st.sampled_from([*PIECES.split(), "\r\n", "\0", " ", "a" * 64])
texts = (
    st.text()
    | st.lists(pieces, max_size=12).map("".join)
    | st.lists(pieces, max_size=8).map(lambda found: "https://" + "".join(found))
)


@given(texts)
def test_a_url_is_taken_in_one_spelling_or_refused(text) -> None:
    try:
        url = parse_url(text)
    except AddressRefused as error:
        assert error.message
        return
    again = str(url)
    assert parse_url(again) == url
    split = urlsplit(again)
    assert (split.scheme, split.username, split.fragment) == ("https", None, "")
    assert again.isascii()
    assert again.isprintable()
    assert " " not in again
    assert split.hostname == url.host
    assert url.host == url.host.lower()
    try:
        address = ip_address(url.host)
    except ValueError:
        assert "." in url.host
        assert not url.host.rpartition(".")[2].isdigit()
    else:
        assert refusal(address) is None


@given(texts)
def test_a_mail_address_is_taken_in_one_spelling_or_refused(text) -> None:
    try:
        address = parse_mail(text)
    except AddressRefused:
        return
    assert parse_mail(address) == address
    assert address.count("@") == 1
    assert not set(address) & set(' \r\n\t\0,;:<>()[]"\\')


@pytest.mark.parametrize(
    "text",
    [
        "http://example.com/",
        "https://",
        "https:///path",
        "https://user:pw@example.com/",
        "https://@example.com/",
        "https://example.com/#x",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://localhost/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[fe80::1%25eth0]/",
        "https://169.254.169.254/latest/meta-data",
        "https://münchen.example/",
        "https://example.com\\@127.0.0.1/",
        "https://example.com/\r\nHost: x",
        "ftp://example.com/",
        "https://a_b.example.com/",
        "https://example.com/" + "a" * 2048,
    ],
)
def test_urls_that_are_refused(text) -> None:
    with pytest.raises(AddressRefused):
        parse_url(text)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("https://Example.COM", "https://example.com/"),
        ("https://example.com./a?b=c", "https://example.com/a?b=c"),
        ("https://example.com:443/", "https://example.com/"),
        ("https://example.com:8443/x", "https://example.com:8443/x"),
        ("https://1.1.1.1/", "https://1.1.1.1/"),
        ("https://[2606:4700:4700:0::1111]:8443/", "https://[2606:4700:4700::1111]:8443/"),
    ],
)
def test_urls_that_are_taken(text, normal) -> None:
    assert str(parse_url(text)) == normal


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "@example.com",
        "a@",
        "a@localhost",
        "a@b@example.com",
        "a b@example.com",
        "a@example.com\r\nBcc: b@example.com",
        "a\n@example.com",
        '"a b"@example.com',
        "a..b@example.com",
        ".a@example.com",
        "a@[127.0.0.1]",
        "a@1.2.3.4",
        "a@münchen.example",
        "ä@example.com",
        "<a@example.com>",
        "a@example.com,b@example.com",
        "x" * 65 + "@example.com",
    ],
)
def test_mail_addresses_that_are_refused(text) -> None:
    with pytest.raises(AddressRefused):
        parse_mail(text)


def test_mail_addresses_that_are_taken() -> None:
    assert parse_mail("First.Last+tag@Example.COM") == "First.Last+tag@example.com"
