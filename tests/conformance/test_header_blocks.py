"""Header blocks that are remembered must mean what a decoder without a memory makes of them (RFC 7541 2.2, 3.2).

The blocks are made by hand, of every representation, so that they fill, use, overflow and resize the dynamic table.
Most of them are blocks that were sent before, which may mean something else by now. What the codec says of each request
is compared with the hpack library's own decoder, fed with the same blocks.
"""

from __future__ import annotations

import random

import hpack
import pytest
from conformance import frames
from conformance.frames import ACK, END_HEADERS, END_STREAM, PREFACE, Code, Type, parse

from sidecar.http2 import DATA, REQUEST, Connection, HeaderList, Limits

WHOLE = END_STREAM | END_HEADERS
PSEUDO = b"\x83\x86\x84\x01\x01a"  # POST http / and :authority a, not indexed


@pytest.mark.parametrize(
    "blocks",
    [
        (
            "828684410f7777772e6578616d706c652e636f6d",
            "828684be58086e6f2d6361636865",
            "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
        ),
        (
            "828684418cf1e3c2e5f23a6ba0ab90f4ff",
            "828684be5886a8eb10649cbf",
            "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
        ),
    ],
    ids=["C.3 without Huffman coding", "C.4 with Huffman coding"],
)
def test_the_requests_of_rfc_7541_are_read(blocks: tuple[str, ...]) -> None:
    connection: Connection[HeaderList] = Connection(list)
    connection.start()
    connection.receive(PREFACE + frames.settings() + frames.settings(flags=ACK))
    get, authority = (b":method", b"GET"), (b":authority", b"www.example.com")
    http, https = [(b":scheme", b"http"), (b":path", b"/")], [(b":scheme", b"https"), (b":path", b"/index.html")]
    wanted = (
        [get, *http, authority],
        [get, *http, authority, (b"cache-control", b"no-cache")],
        [get, *https, authority, (b"custom-key", b"custom-value")],
    )
    for stream, block, fields in zip((1, 3, 5), blocks, wanted, strict=True):
        events = connection.receive(frames.headers(stream, bytes.fromhex(block), WHOLE))
        assert events == [(REQUEST, stream, fields, True)]


def _string(text: bytes) -> bytes:
    return bytes((len(text),)) + text


UPDATES = (b"\x20", b"\x3f\x21", b"\x3f\xe1\x1f", b"\x20\x3f\xe1\x1f", *4 * (b"\x3f\x21\x3f\xe1\x1f",))
"""Of the table's size: 0, 64, 4096; and two of them in one block, which leaves the size as it was."""


def _block(dice: random.Random, entries: int) -> bytes:
    """Valid as a request's. `entries`: how many the dynamic table has now."""
    updates = dice.choice(UPDATES) if dice.random() < 0.12 else b""
    fields = [_field(dice, min(entries, 1) if updates else entries) for _ in range(dice.randrange(4))]
    return updates + PSEUDO + b"".join(fields)


def _field(dice: random.Random, entries: int) -> bytes:
    name, value = dice.choice((b"x-a", b"x-b")), bytes(dice.choices(b"0123456789", k=dice.choice((1, 1, 30))))
    kind = dice.choice(("indexed", "indexed", "indexed", "inserted", "literal", "known-name", "named-by-entry"))
    if kind == "inserted":
        return b"\x40" + _string(name) + _string(value)
    if kind == "known-name":
        return bytes((0x40 | 58,)) + _string(value)  # user-agent
    if kind == "indexed" and entries:
        return bytes((0x80 | 62 + dice.randrange(min(entries, 3)),))
    if kind == "named-by-entry" and entries:
        return b"\x0f" + bytes((62 - 15 + dice.randrange(min(entries, 3)),)) + _string(value)
    return bytes((dice.choice((0x00, 0x10)),)) + _string(name) + _string(value)


def _trailers(dice: random.Random) -> bytes:
    return dice.choice(
        (b"\x40" + _string(b"x-t") + _string(b"1"), b"\x10" + _string(b"x-t") + _string(b"1"), b"\x20", b"")
    )


@pytest.mark.parametrize("seed", range(250))
def test_a_remembered_block_means_what_it_means_now(seed: int) -> None:
    dice = random.Random(seed)
    connection: Connection[HeaderList] = Connection(list, Limits(streams=3))
    connection.start()
    connection.receive(PREFACE + frames.settings() + frames.settings(flags=ACK))
    connection.output()
    reference = hpack.Decoder()
    sent: list[bytes] = []
    for stream in range(1, 201, 2):
        entries = len(reference.header_table.dynamic_entries)
        block = dice.choice(sent[-6:]) if sent and dice.random() < 0.6 else _block(dice, entries)
        sent.append(block)
        try:
            expected = [tuple(field) for field in reference.decode(block, raw=True)]
        except hpack.HPACKError:
            connection.receive(frames.headers(stream, block, WHOLE))
            (goaway,) = parse(bytearray(connection.output()))
            assert (goaway.type, goaway.code) == (Type.GOAWAY, Code.COMPRESSION_ERROR)
            break
        wire = frames.headers(stream, block, END_HEADERS)
        if dice.random() < 0.2:
            cut = dice.randrange(len(block))
            wire = frames.headers(stream, block[:cut], 0) + frames.continuation(stream, block[cut:])
        events = connection.receive(wire)
        if not events:
            (refusal,) = parse(bytearray(connection.output()))
            assert (refusal.type, refusal.stream, refusal.code) == (Type.RST_STREAM, stream, Code.REFUSED_STREAM)
            continue
        assert events == [(REQUEST, stream, expected, False)]
        match dice.randrange(4):
            case 0:
                connection.receive(frames.rst_stream(stream))
            case 1:
                trailers = _trailers(dice)
                reference.decode(trailers, raw=True)
                assert connection.receive(frames.headers(stream, trailers, WHOLE)) == [(DATA, stream, b"", True)]
                connection.receive(frames.rst_stream(stream))
            case 2:  # trailers of a stream that is reset already are decoded too
                connection.reset(stream, Code.CANCEL)  # type: ignore[arg-type]  # the same numbers
                trailers = _trailers(dice)
                reference.decode(trailers, raw=True)
                assert connection.receive(frames.headers(stream, trailers, WHOLE)) == []
            case 3:
                if dice.random() < 0.8:
                    connection.receive(frames.data(stream, b"", END_STREAM) + frames.rst_stream(stream))
        connection.output()
