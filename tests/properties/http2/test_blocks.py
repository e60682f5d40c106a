"""The decoder with its memo is `hpack`'s decoder: the same fields, the same errors, the same table, at any size."""

from __future__ import annotations

import hpack
from fuzz import wire
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.http2 import Limits, encode
from sidecar.http2.blocks import BlockDecoder
from sidecar.http2.errors import ConnectionFault, StreamFault

FIELD = st.tuples(
    st.sampled_from([b"a", b"b", b"grpc-timeout", b"user-agent", b"x-long"]),
    st.sampled_from([b"", b"1", b"500m", b"y" * 60, b"z" * 300]),
)
SIZES = st.sampled_from([0, 1, 33, 64, 120, 1_000, 4_096])
RAW = st.sampled_from(
    [b"\x20", b"\x3f\xe1\x1f", b"\x3f\x09", b"\xbe", b"\xbf", b"\x40\x01a\x01b", b"\x80", b"\x00\x05"]
)


class Client:
    """An encoder that indexes, changes its table, repeats itself, and now and then sends a block of its own making."""

    def __init__(self) -> None:
        self.encoder = hpack.Encoder()
        self.sent: list[bytes] = [wire.literal(wire.REQUEST)]

    def block(self, step: tuple[str, object]) -> bytes:
        kind, what = step
        if kind == "again":
            return self.sent[int(str(what)) % len(self.sent)]
        if kind == "raw":
            block = wire.literal(wire.REQUEST) + b"".join(what)  # type: ignore[arg-type]
        elif kind == "first":
            block = b"".join(what) + wire.literal(wire.REQUEST)  # type: ignore[arg-type]
        else:
            size, fields, sensitive = what  # type: ignore[misc]
            if size is not None:
                self.encoder.header_table_size = size
            block = self.encoder.encode([(name, value, sensitive) for name, value in [*wire.REQUEST, *fields]])
        self.sent.append(block)
        return block


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("encoded"), st.tuples(st.none() | SIZES, st.lists(FIELD, max_size=3), st.booleans())),
        st.tuples(st.just("again"), st.integers(0, 50)),
        st.tuples(st.just("again"), st.integers(0, 50)),
        st.tuples(st.just("raw"), st.lists(RAW, max_size=2)),
        st.tuples(st.just("first"), st.lists(RAW, max_size=3)),
    ),
    max_size=25,
)


@settings(max_examples=300)
@given(STEPS, SIZES | st.just(65_536), st.integers(0, 25), st.sampled_from([1, 2, 64]))
def test_a_memo_changes_nothing(
    steps: list[tuple[str, object]], size: int, acknowledged_at: int, memo_blocks: int
) -> None:
    limits = Limits(header_table=size, memo_blocks=memo_blocks)
    ours = BlockDecoder(lambda headers: [tuple(field) for field in headers], limits)
    plain = hpack.Decoder(max_header_list_size=limits.header_list)
    client = Client()
    for number, step in enumerate(steps):
        if number == acknowledged_at:
            ours.acknowledged()
            plain.max_allowed_table_size = size
        block = client.block(step)
        try:
            expected = [tuple(field) for field in plain.decode(block, raw=True)]
        except hpack.HPACKError:
            expected = None
        try:
            found = ours.request(block)[0]
        except StreamFault:
            assert expected is not None
        except ConnectionFault:
            assert expected is None
            return  # the connection ends here
        else:
            assert found == expected
        table = ours._decoder.header_table
        assert list(table.dynamic_entries) == list(plain.header_table.dynamic_entries)
        assert table.maxsize == plain.header_table.maxsize


TEXT = st.binary(max_size=300)


@given(st.lists(st.tuples(st.sampled_from([b":status", b"content-type", b"x", b"y" * 130]), TEXT | st.just(b"200"))))
def test_what_we_encode_is_what_the_library_decodes(headers: list[tuple[bytes, bytes]]) -> None:
    reader = hpack.Decoder(max_header_list_size=10**6)
    reader.header_table_size = 0
    assert [tuple(field) for field in reader.decode(encode(headers), raw=True)] == headers
    assert not reader.header_table.dynamic_entries
