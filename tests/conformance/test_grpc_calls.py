"""gRPC calls over their time: deadlines, errors, cancellation, streams and drain (PROTOCOL-HTTP2.md)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest
from conformance import frames
from conformance.conftest import Connect
from conformance.frames import END_STREAM, Code, Type
from conformance.grpc import (
    ABORTED,
    DEADLINE_EXCEEDED,
    INTERNAL,
    NOT_FOUND,
    OK,
    ONE,
    STREAM,
    UNARY,
    UNKNOWN,
    call,
    call_fields,
    message,
    ok,
    refused,
    response,
    responses,
    start,
)
from conformance.peer import Peer
from conformance.steps import WHOLE
from conformance.subject import Subject

# --- deadlines


@pytest.mark.parametrize("value", ["1S", "99999999H", "00000001H", "60000m", "1M", "99999999n", "5000000u"])
async def test_a_call_with_time_enough_is_answered(peer: Peer, value: str) -> None:
    peer.send(call(peer, 1, b"hello", UNARY, ("grpc-timeout", value)))
    ok(await response(peer), b"hello")


@pytest.mark.parametrize("path", [UNARY, ONE, STREAM])
async def test_the_longest_timeout_is_no_trouble_for_the_clock(peer: Peer, subject: Subject, path: str) -> None:
    peer.send(start(peer, 1, path, ("grpc-timeout", "99999999H")), frames.data(1, message(b"hello"), END_STREAM))
    ok(await response(peer), b"hello")


@pytest.mark.parametrize(
    "value", ["", "1", "S", "1s", "-1S", "+1S", "1.5S", " 1S", "1S ", "123456789S", "1 S", "1_0S", "\xb9S", "1SS"]
)
async def test_a_malformed_timeout_is_refused(peer: Peer, value: str) -> None:
    # A value with a space at its end is no valid field, and the codec says so (RFC 9113 8.2.1).
    peer.send(start(peer, 1, UNARY, ("grpc-timeout", value)), frames.data(1, message(b"hello"), END_STREAM))
    answer = await response(peer)
    if value.strip(" ") != value:
        assert answer.reset == Code.PROTOCOL_ERROR
    else:
        assert answer.status != OK


async def test_a_deadline_that_passes_ends_the_call_with_deadline_exceeded(
    peer: Peer, subject: Subject, eventually: Callable[..., Any]
) -> None:
    peer.send(call(peer, 1, b"wait", UNARY, ("grpc-timeout", "30m")))
    answer = await response(peer)
    refused(answer, DEADLINE_EXCEEDED)
    await eventually(lambda: subject.echo.waiting == 0 and subject.server.tasks == 0)
    subject.echo.gate.set()
    assert await peer.settle() == []


async def test_a_deadline_covers_the_time_until_the_message_is_there(peer: Peer) -> None:
    """A client that sends half a message and waits gets its answer, and we get rid of the half."""
    peer.send(start(peer, 1, UNARY, ("grpc-timeout", "50m")), frames.data(1, message(b"hello")[:4]))
    assert (await response(peer)).status == DEADLINE_EXCEEDED


async def test_a_stream_ends_at_its_deadline(peer: Peer, subject: Subject, eventually: Callable[..., Any]) -> None:
    peer.send(start(peer, 1, STREAM, ("grpc-timeout", "50m")), frames.data(1, message(b"one")))
    answer = await response(peer)
    assert answer.status == DEADLINE_EXCEEDED
    assert answer.messages == [b"one"]
    await eventually(lambda: subject.server.tasks == 0)


# --- errors


async def test_an_error_is_trailers_only_with_its_message_percent_encoded(peer: Peer) -> None:
    peer.send(call(peer, 1, b"fail"))
    answer = await response(peer)
    refused(answer, NOT_FOUND)
    assert unquote(answer.note) == "ünknown, 100 % \n sure"
    assert all(" " <= letter <= "~" for letter in answer.note)


async def test_an_error_text_that_is_no_unicode_costs_nobody_the_connection(peer: Peer) -> None:
    peer.send(call(peer, 1, b"half a letter"), call(peer, 3, b"hello"))
    answers = await responses(peer, 1, 3)
    refused(answers[1], NOT_FOUND)
    ok(answers[3], b"hello")


async def test_an_exception_of_a_handler_is_internal_and_says_nothing(peer: Peer) -> None:
    for stream, path in ((1, UNARY), (3, ONE), (5, STREAM)):
        peer.send(call(peer, stream, b"boom", path))
        answer = await response(peer, stream)
        assert answer.status in (INTERNAL, UNKNOWN)
        assert "eyes" not in answer.note
    peer.send(call(peer, 7, b"after"))
    ok(await response(peer, 7), b"after")


async def test_a_stream_that_fails_after_a_message_has_trailers_with_its_status(peer: Peer) -> None:
    peer.send(start(peer, 1, STREAM), frames.data(1, message(b"one") + message(b"fail")))
    answer = await response(peer)
    assert answer.status == ABORTED
    assert answer.messages == [b"one"]
    assert answer.kinds == "HDH"


# --- cancellation


@pytest.mark.parametrize("path", [UNARY, ONE, STREAM])
async def test_a_reset_cancels_the_handler_and_nothing_more_is_said(
    peer: Peer, subject: Subject, eventually: Callable[..., Any], path: str
) -> None:
    payload = b"hold" if path == STREAM else b"wait"
    peer.send(start(peer, 1, path), frames.data(1, message(payload), 0 if path == ONE else END_STREAM))
    await eventually(lambda: subject.echo.waiting == 1)
    peer.send(frames.rst_stream(1))
    await eventually(lambda: subject.echo.cancelled == 1 and subject.server.tasks == 0)
    subject.echo.gate.set()
    assert await peer.settle() == []


async def test_a_lost_connection_cancels_its_handlers(
    connect: Connect, subject: Subject, eventually: Callable[..., Any]
) -> None:
    peer = await connect()
    peer.send(call(peer, 1, b"wait"), call(peer, 3, b"hold", STREAM))
    await eventually(lambda: subject.echo.waiting == 2)
    peer.close()
    await eventually(
        lambda: subject.echo.cancelled == 2 and subject.server.tasks == 0 and not subject.server.connections
    )


async def test_many_calls_are_reset_without_a_trace(
    peer: Peer, subject: Subject, eventually: Callable[..., Any]
) -> None:
    for stream in range(1, 401, 2):
        peer.send(call(peer, stream, b"wait"), frames.rst_stream(stream))
    assert await peer.settle() == []
    await eventually(lambda: subject.server.tasks == 0 and subject.echo.waiting == 0)


# --- one answer, and streams


async def test_one_answer_comes_before_the_end_of_the_request(peer: Peer) -> None:
    peer.send(start(peer, 1, ONE), frames.data(1, message(b"hello")))
    ok(await response(peer), b"hello")


async def test_what_comes_after_the_one_message_is_of_no_consequence(peer: Peer) -> None:
    peer.send(start(peer, 1, ONE), frames.data(1, message(b"hello")))
    ok(await response(peer), b"hello")
    peer.send(frames.data(1, message(b"more") + b"half"), frames.data(1, b"", END_STREAM), call(peer, 3, b"next"))
    ok(await response(peer, 3), b"next")


async def test_envoy_resets_a_stream_that_was_answered(peer: Peer) -> None:
    peer.send(start(peer, 1, ONE), frames.data(1, message(b"hello")))
    ok(await response(peer), b"hello")
    peer.send(frames.rst_stream(1, Code.INTERNAL_ERROR))
    assert [frame for frame in await peer.settle() if frame.type != Type.RST_STREAM] == []


async def test_messages_of_a_stream_are_answered_one_by_one(peer: Peer) -> None:
    peer.send(start(peer, 1, STREAM))
    for text in (b"one", b"", b"three"):
        peer.send(frames.data(1, message(text)))
    peer.send(frames.data(1, b"", END_STREAM))
    ok(await response(peer), b"one", b"", b"three")


async def test_several_messages_may_share_a_frame(peer: Peer) -> None:
    whole = message(b"one") + message(b"two") + message(b"three")
    peer.send(start(peer, 1, STREAM), frames.data(1, whole[:11]), frames.data(1, whole[11:], END_STREAM))
    ok(await response(peer), b"one", b"two", b"three")


async def test_a_stream_without_messages_ends_with_ok(peer: Peer) -> None:
    peer.send(frames.headers(1, peer.encoder.encode(call_fields(STREAM)), WHOLE))
    answer = await response(peer)
    assert answer.status == OK and answer.messages == []


async def test_a_stream_that_ends_inside_a_message_is_an_error(peer: Peer) -> None:
    peer.send(start(peer, 1, STREAM), frames.data(1, message(b"hello")[:-1], END_STREAM))
    assert (await response(peer)).status == INTERNAL


# --- drain


async def test_drain_says_goaway_and_finishes_what_is_under_way(
    peer: Peer, subject: Subject, eventually: Callable[..., Any]
) -> None:
    peer.send(call(peer, 1, b"wait"), start(peer, 3), frames.data(3, message(b"half")[:3]), start(peer, 5, STREAM))
    await eventually(lambda: subject.echo.waiting == 1)
    subject.server.drain()
    goaway = await peer.until(lambda frame: frame.type == Type.GOAWAY)
    assert goaway.code == Code.NO_ERROR
    assert goaway.last_stream == 2**31 - 1
    # Begun before the peer read the GOAWAY.
    peer.send(call(peer, 7, b"late comer"))
    ok(await response(peer, 7), b"late comer")
    peer.send(frames.data(3, message(b"half")[3:], END_STREAM))
    ok(await response(peer, 3), b"half")
    peer.send(frames.data(5, message(b"x"), END_STREAM))
    ok(await response(peer, 5), b"x")
    subject.echo.gate.set()
    ok(await response(peer, 1), b"late")
    rest = await peer.until_closed()
    last = [frame for frame in rest if frame.type == Type.GOAWAY]
    assert not last or (last[-1].code == Code.NO_ERROR and last[-1].last_stream == 7)


async def test_drain_closes_an_idle_connection(peer: Peer, subject: Subject) -> None:
    subject.server.drain()
    came = await peer.until_closed()
    assert [frame.code for frame in came if frame.type == Type.GOAWAY][-1] == Code.NO_ERROR


async def test_a_stream_reset_during_drain_lets_the_connection_end(
    peer: Peer, subject: Subject, eventually: Callable[..., Any]
) -> None:
    peer.send(call(peer, 1, b"wait"))
    await eventually(lambda: subject.echo.waiting == 1)
    subject.server.drain()
    await peer.until(lambda frame: frame.type == Type.GOAWAY)
    peer.send(frames.rst_stream(1))
    await peer.until_closed()
