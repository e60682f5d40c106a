"""Peers that do not read, send more than they may, or go away in the middle: bounded, and without a trace."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from conformance import frames
from conformance.frames import END_HEADERS, END_STREAM, LARGEST, PREFACE, Code, Setting, Type
from conformance.grpc import STREAM, UNARY, call, message, response, responses, start
from conformance.peer import Peer
from conformance.steps import POST, block
from conformance.subject import Subject

ENOUGH = 40_000
"""Repetitions after which a flood should long have been stopped (the limits are some 10,000)."""


async def others(subject: Subject, count: int) -> None:
    """Another peer is served `count` times: the server is well, and came by the first peer's socket as often."""
    other = await Peer.connect(subject.path)
    await other.handshake()
    for stream in range(1, 2 * count, 2):
        other.send(call(other, stream, b"hello"))
        await response(other, stream)
    other.close()


# --- a peer that does not read


async def test_answers_for_a_peer_that_does_not_read_do_not_pile_up(peer: Peer, subject: Subject) -> None:
    peer.send(frames.settings([(Setting.INITIAL_WINDOW_SIZE, LARGEST)]), frames.window_update(0, LARGEST - 65_535))
    await peer.settle()
    peer.stop_reading()
    sent = 0
    while not peer.unsent and sent < 50_000:
        streams = range(2 * sent + 1, 2 * sent + 201, 2)
        peer.send(*(call(peer, stream, b"many 2000") for stream in streams))
        sent += len(streams)
        await others(subject, 2)  # the server has had time to read
    assert peer.unsent, "the server reads on and on"
    assert subject.echo.calls < 5_000, "answers are made that nobody takes"
    peer.go_on_reading()
    answers = await responses(peer, *range(1, 2 * sent, 2))
    # A peer that does not read cannot know of streams that have ended, and has opened too many.
    refused = {stream for stream, answer in answers.items() if answer.reset == Code.REFUSED_STREAM}
    assert len(refused) < sent - 1000
    assert all(answers[stream].messages == [b"x" * 2000] for stream in answers.keys() - refused)


async def test_a_stream_whose_peer_does_not_read_waits(peer: Peer, subject: Subject) -> None:
    peer.send(frames.settings([(Setting.INITIAL_WINDOW_SIZE, LARGEST)]), frames.window_update(0, LARGEST - 65_535))
    await peer.settle()
    peer.stop_reading()
    payload = message(bytes(16_000))
    peer.send(start(peer, 1, STREAM), *(frames.data(1, payload) for _ in range(250)))
    await others(subject, 20)
    peer.go_on_reading()
    peer.send(frames.data(1, b"", END_STREAM))
    answer = await response(peer)
    assert len(answer.messages) == 250


async def test_a_flood_by_a_peer_that_does_not_read_is_stopped(
    peer: Peer, subject: Subject, eventually: Callable[..., Any]
) -> None:
    peer.stop_reading()
    peer.send(frames.ping() * ENOUGH)
    await eventually(lambda: subject.server.connections == 0)


async def test_a_peer_may_not_send_more_than_a_stream_that_waits_has_room_for(peer: Peer, subject: Subject) -> None:
    room = peer.settings.get(Setting.INITIAL_WINDOW_SIZE, 65_535)
    first = message(b"hold")
    peer.send(start(peer, 1, STREAM), frames.data(1, first))
    await peer.settle()
    updates = sum(
        int.from_bytes(f.payload, "big") for f in peer.frames if f.type == Type.WINDOW_UPDATE and f.stream == 1
    )
    filling = (message(bytes(995)) * (room // 1000 + 1))[: room - len(first) + updates]
    peer.send(*(frames.data(1, filling[at : at + 16_384]) for at in range(0, len(filling), 16_384)))
    came = await peer.settle()
    updates = sum(int.from_bytes(f.payload, "big") for f in came if f.type == Type.WINDOW_UPDATE and f.stream == 1)
    assert not [f for f in came if f.type in (Type.RST_STREAM, Type.GOAWAY)], "within its window"
    peer.send(*(frames.data(1, bytes(size)) for size in _cut(updates + 1)))
    error = await peer.until(lambda f: f.type in (Type.RST_STREAM, Type.GOAWAY))
    assert error.code == Code.FLOW_CONTROL_ERROR


async def test_credit_comes_back_for_a_body_that_nobody_wants(peer: Peer) -> None:
    """Three windows of DATA, a third of it padding, to a method that is not there and to none."""
    room = peer.settings.get(Setting.INITIAL_WINDOW_SIZE, 65_535)
    for stream, head in ((1, frames.headers(1, block(peer, POST), END_HEADERS)), (3, start(peer, 3, "/no/Method"))):
        peer.send(head)
        left, whole = room, 3 * room
        while whole > 0:
            size = min(16_384, left, whole)
            if size < 300:
                update = await peer.until(lambda f: f.type in (Type.WINDOW_UPDATE, Type.RST_STREAM))  # of whichever
                if update.type == Type.RST_STREAM:
                    assert update.code == Code.NO_ERROR
                    break
                left += int.from_bytes(update.payload, "big") if update.stream == stream else 0
                continue
            peer.send(frames.data(stream, bytes(size - 256), padding=255))
            left -= size
            whole -= size
        peer.send(frames.data(stream, b"", END_STREAM))
    peer.send(call(peer, 5, b"hello"))
    await peer.until(lambda f: f.stream == 5 and f.ends_stream)


# --- a peer that goes


async def test_a_peer_that_says_goodbye_and_writes_on_is_not_reset(peer: Peer) -> None:
    """As a socket that is closed with bytes unread would: the peer must see GOAWAY and a plain end."""
    peer.send(frames.goaway(), frames.ping() * 60_000)  # more than the server reads at once
    came = await peer.until_closed()
    assert [frame.code for frame in came if frame.type == Type.GOAWAY] == [Code.NO_ERROR]
    assert peer.lost is None


# --- connections for nothing


async def test_connections_cut_at_any_byte_leave_nothing(subject: Subject, eventually: Callable[..., Any]) -> None:
    model = Peer()
    whole = PREFACE + frames.settings() + call(model, 1, b"wait") + call(model, 3, b"hold", STREAM)
    for cut in range(len(whole) + 1):
        peer = await Peer.connect(subject.path)
        peer.send(whole[:cut])
        if cut % 3 == 0:
            await peer.frame()
        peer.close()
    await eventually(lambda: subject.server.connections == 0 and subject.server.tasks == 0)


async def test_noise_in_good_traffic_never_raises(subject: Subject, eventually: Callable[..., Any]) -> None:
    """Bits flipped, bytes lost, doubled or made up. `subject` fails the test if an exception got to the loop."""
    noise = random.Random(7)
    for _ in range(300):
        peer = await Peer.connect(subject.path)
        good = bytearray(PREFACE + frames.settings([(Setting.INITIAL_WINDOW_SIZE, noise.choice((0, 1, 65_535)))]))
        for stream in range(1, 12, 2):
            path = noise.choice((UNARY, "/test.Echo/One", STREAM, "/no/Method"))
            good += call(peer, stream, noise.choice((b"hello", b"wait", b"hold", b"fail", b"")), path)
            good += noise.choice((b"", frames.ping(), frames.window_update(stream, 5), frames.rst_stream(stream)))
        for _ in range(noise.randrange(4)):
            at = noise.randrange(len(PREFACE), len(good))
            match noise.randrange(4):
                case 0:
                    good[at] ^= 1 << noise.randrange(8)
                case 1:
                    del good[at : at + noise.randrange(1, 12)]
                case 2:
                    good[at:at] = good[at : at + noise.randrange(1, 30)]
                case 3:
                    good[at:at] = noise.randbytes(noise.randrange(1, 12))
        for start_ in range(0, len(good), 200):
            peer.send(bytes(good[start_ : start_ + 200]))
        peer.send(frames.goaway())
        peer.close() if noise.random() < 0.2 else None
        await peer.frame()
        peer.close()
    await eventually(lambda: subject.server.connections == 0 and subject.server.tasks == 0)


def _cut(size: int) -> list[int]:
    return [min(16_384, size - at) for at in range(0, size, 16_384)]
