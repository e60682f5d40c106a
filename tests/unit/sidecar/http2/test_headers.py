"""The fields of a request: RFC 9113 8.2 and 8.3."""

from __future__ import annotations

import pytest
from fuzz import wire
from fuzz.client import Client

from sidecar.http2 import REQUEST, ErrorCode

METHOD, SCHEME, PATH, AUTHORITY = wire.REQUEST[:4]
GET = ((b":method", b"GET"), SCHEME, PATH, AUTHORITY)

MALFORMED = {
    "nothing": [],
    "upper case": [*GET, (b"X-Name", b"a")],
    "an empty name": [*GET, (b"", b"a")],
    "a space in a name": [*GET, (b"a b", b"a")],
    "a control character in a name": [*GET, (b"a\x01", b"a")],
    "a byte above ASCII in a name": [*GET, (b"a\x80", b"a")],
    "DEL in a name": [*GET, (b"a\x7f", b"a")],
    "a colon inside a name": [*GET, (b"a:b", b"a")],
    "a line feed in a value": [*GET, (b"a", b"a\nb: c")],
    "a carriage return in a value": [*GET, (b"a", b"a\r")],
    "NUL in a value": [*GET, (b"a", b"a\x00")],
    "a value that starts with a space": [*GET, (b"a", b" a")],
    "a value that ends with a tab": [*GET, (b"a", b"a\t")],
    "NUL in a pseudo-header": [(b":method", b"GET"), SCHEME, (b":path", b"/\x00"), AUTHORITY],
    "an unknown pseudo-header": [*GET, (b":test", b"ok")],
    "a response's pseudo-header": [*GET, (b":status", b"200")],
    "extended CONNECT, which is not announced": [*GET, (b":protocol", b"websocket")],
    "a pseudo-header after a field": [*GET[:3], (b"a", b"b"), AUTHORITY],
    "no :method": [SCHEME, PATH, AUTHORITY],
    "an empty :method": [(b":method", b""), SCHEME, PATH, AUTHORITY],
    "no :scheme": [METHOD, PATH, AUTHORITY],
    "no :path": [METHOD, SCHEME, AUTHORITY],
    "an empty :path": [METHOD, SCHEME, (b":path", b""), AUTHORITY],
    "a :path without a slash": [METHOD, SCHEME, (b":path", b"a"), AUTHORITY],
    "a :path of * without OPTIONS": [METHOD, SCHEME, (b":path", b"*"), AUTHORITY],
    ":method twice": [METHOD, METHOD, SCHEME, PATH, AUTHORITY],
    ":scheme twice": [METHOD, SCHEME, SCHEME, PATH, AUTHORITY],
    ":path twice": [METHOD, SCHEME, PATH, PATH, AUTHORITY],
    ":authority twice": [METHOD, SCHEME, PATH, AUTHORITY, AUTHORITY],
    "no authority": [METHOD, SCHEME, PATH],
    "an empty :authority": [METHOD, SCHEME, PATH, (b":authority", b"")],
    "an :authority with userinfo": [METHOD, SCHEME, PATH, (b":authority", b"u:p@a")],
    "a host other than :authority": [*GET, (b"host", b"other")],
    "two hosts": [METHOD, SCHEME, PATH, (b"host", b"a"), (b"host", b"b")],
    "CONNECT with a :path": [(b":method", b"CONNECT"), PATH, AUTHORITY],
    "CONNECT with a :scheme": [(b":method", b"CONNECT"), SCHEME, AUTHORITY],
    "CONNECT without an authority": [(b":method", b"CONNECT")],
    "connection": [*GET, (b"connection", b"close")],
    "proxy-connection": [*GET, (b"proxy-connection", b"close")],
    "keep-alive": [*GET, (b"keep-alive", b"timeout=5")],
    "transfer-encoding": [*GET, (b"transfer-encoding", b"chunked")],
    "upgrade": [*GET, (b"upgrade", b"h2c")],
    "te other than trailers": [*GET, (b"te", b"trailers, deflate")],
    "a content-length that is no number": [*GET, (b"content-length", b"+1")],
    "an empty content-length": [*GET, (b"content-length", b"")],
    "an endless content-length": [*GET, (b"content-length", b"9" * 20)],
    "two content-lengths": [*GET, (b"content-length", b"0"), (b"content-length", b"1")],
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_request_is_reset(what: str) -> None:
    client = Client()
    assert client.send(wire.headers(1, MALFORMED[what])) == []
    assert client.resets == [(1, ErrorCode.PROTOCOL_ERROR)]
    assert client.goaway is None
    assert client.send(wire.headers(3))[0][:2] == (REQUEST, 3)


GOOD = {
    "the least": GET,
    "te of trailers": [*GET, (b"te", b"trailers")],
    "an empty value": [*GET, (b"a", b"")],
    "spaces and bytes above ASCII inside a value": [*GET, (b"a", b"b \xff\x80\tc")],
    "all characters of a token": [*GET, (b"!#$%&'*+-.^_`|~09az", b"a")],
    "a host instead of :authority": [METHOD, SCHEME, PATH, (b"host", b"a")],
    "a host equal to :authority but for case": [*GET, (b"host", b"TEST")],
    "a content-length twice, the same": [*GET, (b"content-length", b"0"), (b"content-length", b"0")],
    "OPTIONS of *": [(b":method", b"OPTIONS"), SCHEME, (b":path", b"*"), AUTHORITY],
    "CONNECT": [(b":method", b"CONNECT"), AUTHORITY],
    "another scheme without an authority": [METHOD, (b":scheme", b"urn"), (b":path", b"x")],
    "a field twice": [*GET, (b"a", b"1"), (b"a", b"2")],
}


@pytest.mark.parametrize("what", GOOD)
def test_a_request_arrives_with_its_fields_as_they_were_sent(what: str) -> None:
    client = Client()
    (event,) = client.send(wire.headers(1, GOOD[what], end=True))
    assert event == (REQUEST, 1, tuple(GOOD[what]), True)


@pytest.mark.parametrize("name", [b":path", b"connection", b"A", b"te"])
def test_trailers_are_held_to_the_same_rules(name: bytes) -> None:
    client = Client()
    client.send(wire.headers(1), wire.headers(1, [(name, b"x")], end=True))
    assert client.resets == [(1, ErrorCode.PROTOCOL_ERROR)]


def test_a_content_length_that_is_met_is_fine() -> None:
    client = Client()
    events = client.send(
        wire.headers(1, [*wire.REQUEST, (b"content-length", b"5")]),
        wire.data(1, b"ab", padding=9),
        wire.data(1, b"cde", end=True),
    )
    assert [event[2] for event in events[1:]] == [b"ab", b"cde"]
    assert client.resets == []


def test_a_remembered_block_with_a_content_length_is_measured_each_time() -> None:
    client = Client()
    for stream_id in (1, 3, 5):
        client.send(wire.headers(stream_id, [*wire.REQUEST, (b"content-length", b"1")]))
        client.send(wire.data(stream_id, b"ab", end=True))
    assert client.resets == [(1, 1), (3, 1), (5, 1)]
