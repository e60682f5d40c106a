"""Each violation of RFC 9113 has its answer: GOAWAY or RST_STREAM, with its code."""

from __future__ import annotations

import pytest
from fuzz import wire
from fuzz.client import ANSWER, Client

from sidecar.http2 import REQUEST, RESET, ErrorCode, Limits

E = ErrorCode
OPEN = wire.headers(1)
ENDED = wire.headers(1, end=True)


CONNECTION = {
    # 4.2, 4.3
    "DATA longer than 16,384 bytes": (OPEN + b"\x00\x40\x01\x00\x00\x00\x00\x00\x01", E.FRAME_SIZE_ERROR),
    "a frame of 16 MB of an unknown type": (b"\xff\xff\xff\xee\x00\x00\x00\x00\x00", E.FRAME_SIZE_ERROR),
    "HEADERS longer than 16,384 bytes": (b"\x00\x40\x01\x01\x04\x00\x00\x00\x01", E.FRAME_SIZE_ERROR),
    "a block that cannot be decoded": (wire.frame(1, 5, 1, b"\xff\xff\xff\xff\xff\xff"), E.COMPRESSION_ERROR),
    "a block that ends in mid-field": (wire.frame(1, 5, 1, b"\x00\x05ab"), E.COMPRESSION_ERROR),
    "an index of 0": (wire.frame(1, 5, 1, b"\x80"), E.COMPRESSION_ERROR),
    "an index beyond the table": (wire.frame(1, 5, 1, b"\xfe"), E.COMPRESSION_ERROR),
    "a Huffman string with the EOS symbol": (
        wire.frame(1, 5, 1, b"\x00\x85\xf2\xb2\x4a\x84\xff\x88" + b"\xff" * 8),
        E.COMPRESSION_ERROR,
    ),
    "a Huffman string with padding of zeros": (
        wire.frame(1, 5, 1, b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x9c\x48\x00"),
        E.COMPRESSION_ERROR,
    ),
    "a table size update above the setting": (
        wire.frame(1, 5, 1, b"\x3f\xe2\x1f" + wire.literal(wire.REQUEST)),
        E.COMPRESSION_ERROR,
    ),
    "a table size update after a field": (
        wire.frame(1, 5, 1, wire.literal(wire.REQUEST) + b"\x20"),
        E.COMPRESSION_ERROR,
    ),
    # 5.1
    "DATA on an idle stream": (wire.data(1, b"x"), E.PROTOCOL_ERROR),
    "RST_STREAM on an idle stream": (wire.rst_stream(1), E.PROTOCOL_ERROR),
    "WINDOW_UPDATE on an idle stream": (wire.window_update(1, 1), E.PROTOCOL_ERROR),
    "DATA on an even stream": (wire.headers(3) + wire.data(2), E.PROTOCOL_ERROR),
    "WINDOW_UPDATE on an even stream": (wire.headers(3) + wire.window_update(2, 1), E.PROTOCOL_ERROR),
    "DATA on a stream that the peer reset": (OPEN + wire.rst_stream(1) + wire.data(1), E.STREAM_CLOSED),
    "HEADERS on a stream that the peer reset": (OPEN + wire.rst_stream(1) + ENDED, E.STREAM_CLOSED),
    # 5.1.1
    "HEADERS on an even stream": (wire.headers(2), E.PROTOCOL_ERROR),
    "HEADERS with an id that was passed over": (wire.headers(5) + wire.headers(3), E.PROTOCOL_ERROR),
    # 6.1
    "DATA on no stream": (wire.data(0), E.PROTOCOL_ERROR),
    "DATA with padding as long as it": (OPEN + wire.frame(0, 8, 1, b"\x04abc"), E.PROTOCOL_ERROR),
    "padded DATA without a pad length": (OPEN + wire.frame(0, 8, 1), E.FRAME_SIZE_ERROR),
    # 6.2
    "HEADERS on no stream": (wire.headers(0), E.PROTOCOL_ERROR),
    "HEADERS with padding as long as it": (wire.frame(1, 0xC, 1, b"\x09abcdefgh"), E.PROTOCOL_ERROR),
    "HEADERS too short for its priority": (wire.frame(1, 0x24, 1, b"abcd"), E.FRAME_SIZE_ERROR),
    "DATA inside a header block": (wire.headers(1, more=True) + wire.data(1), E.PROTOCOL_ERROR),
    "HEADERS inside a header block": (wire.headers(1, more=True) + wire.headers(3), E.PROTOCOL_ERROR),
    "the end of DATA of another stream inside a header block": (
        OPEN + wire.headers(3, more=True) + wire.data(1, end=True),
        E.PROTOCOL_ERROR,
    ),
    "a known request inside a header block": (OPEN + wire.headers(3, more=True) + wire.headers(3), E.PROTOCOL_ERROR),
    "PING inside a header block": (wire.headers(1, more=True) + wire.ping(), E.PROTOCOL_ERROR),
    "an unknown frame inside a header block": (wire.headers(1, more=True) + wire.frame(99, 0, 1), E.PROTOCOL_ERROR),
    # 6.3: a stream error, and there is no stream to send it on
    "PRIORITY on no stream": (wire.priority(0), E.PROTOCOL_ERROR),
    "PRIORITY of an idle stream on itself": (wire.priority(1, 1), E.PROTOCOL_ERROR),
    "PRIORITY of 4 bytes on an idle stream": (wire.frame(2, 0, 1, b"abcd"), E.FRAME_SIZE_ERROR),
    # 6.4
    "RST_STREAM on no stream": (wire.rst_stream(0), E.PROTOCOL_ERROR),
    "RST_STREAM of 5 bytes": (OPEN + wire.frame(3, 0, 1, b"abcde"), E.FRAME_SIZE_ERROR),
    # 6.5
    "SETTINGS on a stream": (wire.frame(4, 0, 1), E.PROTOCOL_ERROR),
    "SETTINGS of 5 bytes": (wire.frame(4, 0, 0, b"abcde"), E.FRAME_SIZE_ERROR),
    "SETTINGS acknowledged with a payload": (wire.frame(4, 1, 0, bytes(6)), E.FRAME_SIZE_ERROR),
    "ENABLE_PUSH of 2": (wire.settings((2, 2)), E.PROTOCOL_ERROR),
    "INITIAL_WINDOW_SIZE of 2^31": (wire.settings((4, 2**31)), E.FLOW_CONTROL_ERROR),
    "MAX_FRAME_SIZE below 16,384": (wire.settings((5, 16_383)), E.PROTOCOL_ERROR),
    "MAX_FRAME_SIZE above 2^24-1": (wire.settings((5, 2**24)), E.PROTOCOL_ERROR),
    "ENABLE_CONNECT_PROTOCOL of 2": (wire.settings((8, 2)), E.PROTOCOL_ERROR),
    # 6.6, 8.4
    "PUSH_PROMISE": (OPEN + wire.frame(5, 4, 1, b"\x00\x00\x00\x02"), E.PROTOCOL_ERROR),
    # 6.7
    "PING on a stream": (wire.frame(6, 0, 1, bytes(8)), E.PROTOCOL_ERROR),
    "PING of 7 bytes": (wire.frame(6, 0, 0, bytes(7)), E.FRAME_SIZE_ERROR),
    # 6.8
    "GOAWAY on a stream": (wire.frame(7, 0, 1, bytes(8)), E.PROTOCOL_ERROR),
    "GOAWAY of 7 bytes": (wire.frame(7, 0, 0, bytes(7)), E.FRAME_SIZE_ERROR),
    # 6.9
    "WINDOW_UPDATE of 0 on the connection": (wire.window_update(0, 0), E.PROTOCOL_ERROR),
    "WINDOW_UPDATE of 3 bytes": (wire.frame(8, 0, 0, bytes(3)), E.FRAME_SIZE_ERROR),
    "a connection's window above 2^31-1": (wire.window_update(0, 2**31 - 65_535), E.FLOW_CONTROL_ERROR),
    "SETTINGS that bring a stream's window above 2^31-1": (
        OPEN + wire.window_update(1, 1) + wire.settings((4, 2**31 - 1)),
        E.FLOW_CONTROL_ERROR,
    ),
    # 6.10
    "CONTINUATION without HEADERS": (wire.frame(9, 4, 1), E.PROTOCOL_ERROR),
    "CONTINUATION after the block's end": (OPEN + wire.frame(9, 4, 1), E.PROTOCOL_ERROR),
    "CONTINUATION on another stream": (wire.headers(1, more=True) + wire.frame(9, 4, 3), E.PROTOCOL_ERROR),
    "CONTINUATION on no stream": (wire.headers(1, more=True) + wire.frame(9, 4, 0), E.PROTOCOL_ERROR),
}


@pytest.mark.parametrize("what", CONNECTION)
def test_a_violation_ends_the_connection_with_its_code(what: str) -> None:
    client = Client()
    sent, code = CONNECTION[what]
    client.send(sent)
    assert client.goaway == code
    assert client.connection.closed
    assert client.connection.open_streams == 0
    assert client.send(wire.headers(9)) == []
    assert client.take() == []


STREAM = {
    "DATA after the request's end": (ENDED + wire.data(1), E.STREAM_CLOSED),
    "HEADERS after the request's end": (ENDED + ENDED, E.STREAM_CLOSED),
    "trailers without END_STREAM": (OPEN + OPEN, E.PROTOCOL_ERROR),
    "trailers with a pseudo-header": (OPEN + ENDED, E.PROTOCOL_ERROR),
    "trailers with upper case": (OPEN + wire.headers(1, [(b"A", b"b")], end=True), E.PROTOCOL_ERROR),
    "trailers that depend on themselves": (
        OPEN + wire.frame(1, 0x25, 1, b"\x00\x00\x00\x01\x10"),
        E.PROTOCOL_ERROR,
    ),
    "PRIORITY of an open stream on itself": (OPEN + wire.priority(1, 1), E.PROTOCOL_ERROR),
    "PRIORITY of 4 bytes on an open stream": (OPEN + wire.frame(2, 0, 1, b"abcd"), E.FRAME_SIZE_ERROR),
    "WINDOW_UPDATE of 0": (OPEN + wire.window_update(1, 0), E.PROTOCOL_ERROR),
    "a stream's window above 2^31-1": (OPEN + wire.window_update(1, 2**31 - 65_535), E.FLOW_CONTROL_ERROR),
    "more DATA than the content-length": (
        wire.headers(1, [*wire.REQUEST, (b"content-length", b"2")]) + wire.data(1, b"abc"),
        E.PROTOCOL_ERROR,
    ),
    "less DATA than the content-length": (
        wire.headers(1, [*wire.REQUEST, (b"content-length", b"2")]) + wire.data(1, b"a", end=True),
        E.PROTOCOL_ERROR,
    ),
    "trailers before all of the content-length": (
        wire.headers(1, [*wire.REQUEST, (b"content-length", b"2")]) + wire.headers(1, [(b"a", b"b")], end=True),
        E.PROTOCOL_ERROR,
    ),
}


@pytest.mark.parametrize("what", STREAM)
def test_a_violation_on_a_stream_resets_it_with_its_code_and_the_layer_above_hears_of_it(what: str) -> None:
    client = Client()
    sent, code = STREAM[what]
    events = client.send(sent)
    assert client.resets == [(1, code)]
    assert events[0][:2] == (REQUEST, 1)
    assert events[-1] == (RESET, 1, code)
    assert client.goaway is None
    assert client.connection.open_streams == 0
    assert client.send(wire.headers(3))[0][:2] == (REQUEST, 3), "the connection goes on"


REFUSED = {
    "HEADERS that depend on themselves": wire.frame(1, 0x25, 1, b"\x00\x00\x00\x01\x10" + wire.literal(wire.REQUEST)),
    "HEADERS without END_STREAM that depend on themselves": wire.frame(
        1, 0x24, 1, b"\x00\x00\x00\x01\x10" + wire.literal(wire.REQUEST)
    ),
    "a malformed request without END_STREAM": wire.headers(1, [(b"A", b"b")]),
    "a content-length and no DATA": wire.headers(1, [*wire.REQUEST, (b"content-length", b"2")], end=True),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_request_that_is_wrong_from_the_start_is_reset_and_never_reported(what: str) -> None:
    client = Client()
    assert client.send(REFUSED[what]) == []
    assert client.resets == [(1, E.PROTOCOL_ERROR)]
    assert client.send(wire.headers(3))[0][:2] == (REQUEST, 3)


@pytest.mark.parametrize("what", REFUSED)
def test_what_was_on_its_way_to_a_stream_that_was_refused_is_tolerated(what: str) -> None:
    client = Client()
    client.send(REFUSED[what])
    if REFUSED[what][4] & wire.END_STREAM == 0:
        assert client.send(wire.data(1, b"x"), wire.headers(1, [(b"a", b"b")], end=True)) == []
    assert client.goaway is None
    client.send(wire.data(1, b"x"))
    assert client.goaway == E.STREAM_CLOSED, "all of it has come"


def test_a_stream_above_the_limit_is_refused_and_the_decoder_stays_in_step() -> None:
    client = Client(Limits(streams=1))
    client.send(OPEN)
    indexed = b"\x40\x01a\x01b"  # enters the dynamic table as 62
    client.send(wire.frame(1, 4, 3, wire.literal(wire.REQUEST) + indexed))
    assert client.resets == [(3, E.REFUSED_STREAM)]
    client.connection.reset(1, E.CANCEL)
    (event,) = client.send(wire.frame(1, 4, 5, wire.literal(wire.REQUEST) + b"\xbe"))
    assert event[2][-1] == (b"a", b"b")


PREFACES = {
    "HTTP/1": b"GET / HTTP/1.1\r\n\r\n",
    "one wrong byte": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r",
    "HEADERS first": wire.PREFACE + OPEN,
    "an acknowledgement first": wire.PREFACE + wire.settings(ack=True),
    "PING first": wire.PREFACE + wire.ping(),
    "an unknown frame first": wire.PREFACE + wire.frame(99, 0, 0),
}


@pytest.mark.parametrize("what", PREFACES)
def test_a_connection_that_does_not_begin_as_it_must_is_ended(what: str) -> None:
    client = Client(greet=False)
    assert client.send(PREFACES[what]) == []
    assert client.goaway == E.PROTOCOL_ERROR
    assert client.connection.closed


IGNORED = {
    "an unknown frame": wire.frame(99, 0xFF, 0, b"abc"),
    "an unknown frame on an idle stream": wire.frame(99, 0, 7, b"abc"),
    "an unknown setting": wire.settings((0x99, 5)),
    "PRIORITY on an idle stream": wire.priority(9),
    "a PING acknowledgement": wire.ping(ack=True),
    "a second SETTINGS acknowledgement": wire.settings(ack=True),
    "the reserved bit": wire.frame(6, 0, 2**31, bytes(8)),
    "unknown flags": wire.frame(6, 0xFE, 0, bytes(8)),
    "RST_STREAM on a closed stream": OPEN + wire.rst_stream(1) + wire.rst_stream(1),
    "WINDOW_UPDATE on a closed stream": OPEN + wire.rst_stream(1) + wire.window_update(1, 1),
    "PRIORITY on a closed stream": OPEN + wire.rst_stream(1) + wire.priority(1),
    "RST_STREAM with an unknown code": OPEN + wire.rst_stream(1, 0xFFFF),
    "ENABLE_PUSH of 1": wire.settings((2, 1)),
}


@pytest.mark.parametrize("what", IGNORED)
def test_what_the_rfc_lets_pass_passes(what: str) -> None:
    client = Client()
    client.send(IGNORED[what])
    assert client.goaway is None
    assert client.resets == []
    assert client.send(wire.headers(11))[0][:2] == (REQUEST, 11)


def test_the_reserved_bit_of_a_stream_id_is_ignored() -> None:
    client = Client()
    client.send(wire.headers(1))
    client.send(wire.headers(3 + 2**31))
    client.send(wire.data(3 + 2**31, b"x", end=True))
    assert [event[:2] for event in client.events] == [(REQUEST, 1), (REQUEST, 3), (1, 3)]


def test_after_the_highest_id_no_stream_can_be_opened() -> None:
    client = Client()
    last = 2**31 - 1
    client.send(wire.headers(last - 2), wire.headers(last), wire.data(last, end=True))
    client.connection.reply(last, ANSWER)
    client.send(wire.headers(1 + 2**31))
    assert client.goaway in (E.PROTOCOL_ERROR, E.STREAM_CLOSED)


def test_a_reason_is_sent_and_says_nothing_of_what_the_peer_sent() -> None:
    client = Client()
    client.send(wire.frame(1, 5, 1, b"\x00\x05secr"))
    (goaway,) = client.of(wire.GOAWAY)
    assert goaway.payload[8:].decode() == "header block cannot be decoded"
