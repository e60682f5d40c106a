"""The memo of header blocks never changes what a block means; our own blocks need no table."""

from __future__ import annotations

import hpack
import pytest
from fuzz import wire

from sidecar.http2 import HeaderList, Limits, Reply, encode
from sidecar.http2.blocks import BlockDecoder
from sidecar.http2.errors import ConnectionFault, StreamFault


class Reader:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, headers: HeaderList) -> tuple[tuple[bytes, bytes], ...]:
        self.calls += 1
        return tuple((name, value) for name, value in headers)


def decoder(limits: Limits = Limits()) -> tuple[BlockDecoder[tuple[tuple[bytes, bytes], ...]], Reader]:  # noqa: B008 (frozen)
    reader = Reader()
    return BlockDecoder(reader, limits), reader


def test_a_block_that_needs_no_table_is_read_once() -> None:
    blocks, reader = decoder()
    block = wire.literal(wire.REQUEST)
    first, second = blocks.request(block), blocks.request(block)
    assert first == second == (wire.REQUEST, -1)
    assert reader.calls == 1


def test_a_client_that_fills_its_table_and_then_repeats_itself_is_read_twice() -> None:
    """As Envoy, nghttp2 and grpc-go do."""
    blocks, reader = decoder()
    encoder = hpack.Encoder()
    for _ in range(10):
        assert blocks.request(encoder.encode(wire.REQUEST))[0] == wire.REQUEST
    assert reader.calls == 2


def test_a_block_that_refers_to_the_table_means_another_thing_when_the_table_changed() -> None:
    blocks, _ = decoder()
    request = wire.literal(wire.REQUEST)
    newest = request + b"\xbe"  # index 62
    blocks.request(request + b"\x40\x01a\x01b")
    for _ in range(3):
        assert blocks.request(newest)[0][-1] == (b"a", b"b")
    blocks.request(request + b"\x40\x01c\x01d")
    for _ in range(3):
        assert blocks.request(newest)[0][-1] == (b"c", b"d")
    blocks.trailers(b"\x40\x01e\x01f")  # trailers change it too
    assert blocks.request(newest)[0][-1] == (b"e", b"f")
    blocks.request(b"\x20" + request)
    with pytest.raises(ConnectionFault):
        blocks.request(newest)


def test_a_block_that_is_inserted_is_never_remembered() -> None:
    blocks, reader = decoder()
    inserting = wire.literal(wire.REQUEST) + b"\x40\x01a\x01b"
    for count in range(1, 5):
        blocks.request(inserting)
        assert reader.calls == count
        assert len(blocks.memo) == 0


def test_an_entry_too_large_for_the_table_empties_it() -> None:
    blocks, _ = decoder()
    request = wire.literal(wire.REQUEST)
    blocks.request(request + b"\x40\x01a\x01b")
    blocks.request(request + b"\xbe")
    blocks.request(request + b"\x40\x01x\x7f\x81\x1f" + b"y" * 4_096)
    with pytest.raises(ConnectionFault):
        blocks.request(request + b"\xbe")


def test_with_an_empty_table_an_insertion_changes_nothing_and_is_remembered() -> None:
    blocks, reader = decoder()
    request = wire.literal(wire.REQUEST)
    blocks.request(b"\x20" + request)
    for _ in range(3):
        blocks.request(request + b"\x40\x01a\x01b")
    assert reader.calls == 2


def test_a_size_that_goes_down_and_up_in_one_block_evicts() -> None:
    blocks, _ = decoder()
    request = wire.literal(wire.REQUEST)
    blocks.request(request + b"\x40\x01a\x01b\x40\x01c\x01d")
    assert blocks.request(request + b"\xbf")[0][-1] == (b"a", b"b")
    blocks.request(b"\x3f\x09\x3f\xe1\x1f" + request)  # to 40 bytes, which keep one entry, and to 4096 again
    assert blocks.request(request + b"\xbe")[0][-1] == (b"c", b"d")
    with pytest.raises(ConnectionFault):
        blocks.request(request + b"\xbf")


def test_an_insertion_that_evicts_as_many_entries_as_it_adds_is_a_change() -> None:
    blocks, _ = decoder()
    request = wire.literal(wire.REQUEST)
    blocks.request(b"\x3f\x09" + request + b"\x40\x01a\x01b")  # 40 bytes, one entry
    assert blocks.request(request + b"\xbe")[0][-1] == (b"a", b"b")
    blocks.request(request + b"\x40\x01c\x01d")
    assert blocks.request(request + b"\xbe")[0][-1] == (b"c", b"d")


def test_a_change_of_an_empty_tables_size_is_a_change() -> None:
    blocks, _ = decoder()
    request = wire.literal(wire.REQUEST)
    none, some = b"\x20" + request, b"\x3f\xe1\x1f" + request
    for block in (none, none, some, some, none):
        blocks.request(block)
    assert blocks._decoder.header_table.maxsize == 0
    blocks.request(request + b"\x40\x01a\x01b")
    with pytest.raises(ConnectionFault):
        blocks.request(request + b"\xbe")


def test_a_malformed_request_keeps_the_decoder_in_step() -> None:
    blocks, _ = decoder()
    with pytest.raises(StreamFault):
        blocks.request(b"\x40\x01a\x01b")
    assert blocks.request(wire.literal(wire.REQUEST) + b"\xbe")[0][-1] == (b"a", b"b")


def test_a_block_that_nobody_wants_counts_all_the_same() -> None:
    blocks, reader = decoder()
    request = wire.literal(wire.REQUEST)
    blocks.request(request + b"\x40\x01a\x01b")
    blocks.skip(request + b"\x40\x01c\x01d")
    assert blocks.request(request + b"\xbe")[0][-1] == (b"c", b"d")
    blocks.skip(request + b"\xbe")
    assert blocks.request(request + b"\xbf")[0][-1] == (b"a", b"b")
    assert reader.calls == 3


def test_a_long_block_is_not_kept() -> None:
    blocks, reader = decoder()
    block = wire.literal([*wire.REQUEST, (b"a", b"b" * 1_024)])
    blocks.request(block)
    blocks.request(block)
    assert reader.calls == 2
    assert blocks.memo == {}


OURS = [
    [(b":status", b"200"), (b"content-type", b"application/grpc"), (b"grpc-status", b"0")],
    [(b":status", b"404")],
    [(b":status", b"421")],
    [(b"x", b""), (b"content-length", b"12345"), (b"vary", b"")],
    [(b"grpc-message", b"y" * 300), (b"z" * 200, b"y" * 70_000)],
]


@pytest.mark.parametrize("headers", OURS)
def test_our_blocks_are_read_by_the_library_and_leave_its_table_empty(headers: list[tuple[bytes, bytes]]) -> None:
    reader = hpack.Decoder(max_header_list_size=10**6)
    assert list(reader.decode(encode(headers), raw=True)) == headers
    assert not reader.header_table.dynamic_entries


def test_a_reply_is_cut_where_the_stream_id_belongs() -> None:
    headers, trailers = encode([(b":status", b"200")]), encode([(b"grpc-status", b"0")])
    for body in (b"", b"x", b"x" * 16_384, b"x" * 40_000):
        for last in (b"", trailers):
            frames = list(wire.parse((77).to_bytes(4, "big").join(Reply.of(headers, body, last).pieces)))
            assert {frame.stream_id for frame in frames} == {77}
            assert frames[0].payload == headers
            assert b"".join(frame.payload for frame in frames if frame.kind == wire.DATA) == body
            assert [frame.flags & wire.END_STREAM for frame in frames] == [0] * (len(frames) - 1) + [1]
            assert bool(last) == (frames[-1].kind == wire.HEADERS and len(frames) > 1)


def test_a_reply_with_long_headers_goes_on_in_continuation() -> None:
    block = encode([(b":status", b"200"), (b"grpc-message", b"x" * 40_000)])
    frames = list(wire.parse((1).to_bytes(4, "big").join(Reply.of(block).pieces)))
    assert [(frame.kind, frame.flags) for frame in frames] == [(1, 1), (9, 0), (9, 4)]
    assert b"".join(frame.payload for frame in frames) == block
