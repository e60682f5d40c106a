from __future__ import annotations

import pytest

from sidecar.grpcfast.message import Buffered, MessageReader, OneMessage, frame
from sidecar.grpcfast.status import RpcError, Status


def reader(limit: int = 100, encoding: bytes = b"identity", buffered: Buffered | None = None) -> MessageReader:
    return MessageReader(limit, encoding, buffered or Buffered(1_000))


def test_a_frame_is_a_zero_the_length_in_four_bytes_and_the_message() -> None:
    assert frame(b"abc") == b"\0\0\0\0\x03abc"
    assert frame(bytes(70_000))[:5] == b"\0\0\x01\x11\x70"


def test_messages_come_out_in_order_and_an_incomplete_one_does_not() -> None:
    messages = reader()
    messages.feed(frame(b"one") + frame(b"") + frame(b"three")[:-1])
    assert [messages.take(), messages.take(), messages.take()] == [b"one", b"", None]
    assert not messages.ready
    messages.feed(b"e")
    assert messages.ready
    assert messages.take() == b"three"


def test_a_message_of_the_limit_passes_and_one_byte_more_is_refused_by_its_prefix() -> None:
    messages = reader(limit=3)
    messages.feed(frame(b"abc") + frame(b"abcd")[:5])
    assert messages.take() == b"abc"
    assert messages.ready
    with pytest.raises(RpcError) as refused:
        messages.take()
    assert refused.value.status is Status.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("encoding", "flag", "status"),
    [
        (b"gzip", 1, Status.UNIMPLEMENTED),
        (b"identity", 1, Status.INTERNAL),
        (b"gzip", 2, Status.INTERNAL),
        (b"identity", 255, Status.INTERNAL),
    ],
)
def test_a_compressed_message_is_refused_as_the_specification_says(encoding: bytes, flag: int, status: Status) -> None:
    messages = reader(encoding=encoding)
    messages.feed(bytes([flag]) + frame(b"x")[1:])
    with pytest.raises(RpcError) as refused:
        messages.take()
    assert refused.value.status is status


def test_an_uncompressed_message_in_a_call_with_an_encoding_is_read() -> None:
    messages = reader(encoding=b"gzip")
    messages.feed(frame(b"plain"))
    assert messages.take() == b"plain"


def test_what_is_held_is_counted_until_it_is_taken_or_given_up() -> None:
    buffered = Buffered(1_000)
    one, other = reader(buffered=buffered), reader(buffered=buffered)
    one.feed(frame(b"x" * 10) + b"\0\0")
    other.feed(b"\0\0\0\0\x09half")
    assert buffered.held == 15 + 2 + 9
    assert one.take() == b"x" * 10
    assert buffered.held == 2 + 9
    one.close()
    other.close()
    assert buffered.held == 0


def test_readers_that_hold_too_much_together_refuse_more_and_still_count_right() -> None:
    buffered = Buffered(20)
    one, other = reader(buffered=buffered), reader(buffered=buffered)
    one.feed(b"\0\0\0\0\x50" + b"x" * 10)
    with pytest.raises(RpcError) as refused:
        other.feed(b"\0\0\0\0\x50" + b"x" * 10)
    assert refused.value.status is Status.RESOURCE_EXHAUSTED
    other.close()
    one.close()
    assert buffered.held == 0


@pytest.mark.parametrize("early", [False, True])
def test_one_message_is_returned_when_it_is_complete_and_ended(early: bool) -> None:
    one = OneMessage(reader(), early)
    assert one.feed(frame(b"abc")[:6], ended=False) is None
    assert one.feed(frame(b"abc")[6:], ended=True) == b"abc"


def test_one_message_waits_for_the_end_of_the_stream() -> None:
    one = OneMessage(reader(), early=False)
    assert one.feed(frame(b"abc"), ended=False) is None
    assert one.feed(b"", ended=True) == b"abc"


def test_one_early_message_does_not_wait_nor_look_further() -> None:
    one = OneMessage(reader(), early=True)
    assert one.feed(frame(b"abc") + b"\x07rubbish", ended=False) == b"abc"


@pytest.mark.parametrize(
    "request_bytes",
    [b"", b"\0\0\0", frame(b"abc")[:-1], frame(b"abc") + frame(b""), frame(b"abc") + b"\0"],
    ids=["nothing", "part of a prefix", "part of a message", "two messages", "a message and more"],
)
def test_anything_but_one_message_is_an_internal_error(request_bytes: bytes) -> None:
    with pytest.raises(RpcError) as refused:
        OneMessage(reader(), early=False).feed(request_bytes, ended=True)
    assert refused.value.status is Status.INTERNAL
