"""Messages come out as they were framed, however the bytes are split, and any bytes give the same end in any pieces."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sidecar.grpcfast.message import Buffered, MessageReader, OneMessage, frame
from sidecar.grpcfast.status import RpcError, Status

LIMIT = 64

messages = st.lists(st.binary(max_size=LIMIT), max_size=6)
cuts = st.lists(st.integers(min_value=0, max_value=400), max_size=12)
# Mostly prefixes that make sense, or the first length would end nearly every example.
streams = st.lists(
    st.one_of(
        st.binary(max_size=LIMIT + 4).map(frame),
        st.tuples(st.integers(0, 3), st.integers(0, LIMIT + 2)).map(lambda p: bytes([p[0]]) + p[1].to_bytes(4, "big")),
        st.binary(max_size=8),
    ),
    max_size=5,
).map(b"".join)


def split(data: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(data)) for cut in at), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def drain(reader: MessageReader) -> tuple[list[bytes], Status | None]:
    taken = []
    try:
        while (message := reader.take()) is not None:
            taken.append(message)
    except RpcError as error:
        return taken, error.status
    return taken, None


@given(messages, cuts)
def test_messages_come_out_as_they_went_in(sent: list[bytes], at: list[int]) -> None:
    buffered = Buffered(10_000)
    reader = MessageReader(LIMIT, b"identity", buffered)
    received = []
    for piece in split(b"".join(map(frame, sent)), at):
        reader.feed(piece)
        received += drain(reader)[0]
        assert buffered.held == len(reader) < LIMIT + 5
    assert received == sent
    assert (len(reader), buffered.held) == (0, 0)


@given(streams, cuts)
def test_any_bytes_give_the_same_messages_and_error_in_any_pieces(data: bytes, at: list[int]) -> None:
    whole = MessageReader(LIMIT, b"gzip", Buffered(10_000))
    whole.feed(data)
    expected = drain(whole)
    pieces = MessageReader(LIMIT, b"gzip", Buffered(10_000))
    received: list[bytes] = []
    status = None
    for piece in split(data, at):
        pieces.feed(piece)
        taken, status = drain(pieces)
        received += taken
        assert not pieces.ready or status is not None
    assert (received, status) == expected


@given(streams, cuts, st.booleans())
def test_one_message_is_the_same_in_any_pieces(data: bytes, at: list[int], early: bool) -> None:
    def outcome(pieces: list[bytes]) -> bytes | Status | None:
        one = OneMessage(MessageReader(LIMIT, b"identity", Buffered(10_000)), early)
        for number, piece in enumerate(pieces, start=1):
            try:
                message = one.feed(piece, ended=number == len(pieces))
            except RpcError as error:
                return error.status
            if message is not None:
                return message
        return None

    result = outcome([data])
    assert result is not None
    assert outcome(split(data, at)) == result
