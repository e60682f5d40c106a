"""A peer that means harm (RFC 9113 10.5): what it can make the server do, or keep, has an end, and other peers notice nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from conformance import frames
from conformance.conftest import Connect
from conformance.frames import END_HEADERS, END_STREAM, LARGEST, PREFACE, Code, Setting, Type, frame
from conformance.grpc import STREAM, UNARY, call, message, response, responses, start
from conformance.peer import Peer
from conformance.steps import GET, POST, block
from conformance.subject import Subject

ENOUGH = 40_000
"""Repetitions after which a flood should long have been stopped (the limits are some 10,000)."""


async def flood(peer: Peer, make: Callable[[int], bytes], batch: int = 500) -> tuple[int, frames.Frame | None]:
    """Send `make(1)`, `make(3)`, … until the server ends the connection: how many went out, and its GOAWAY."""
    sent = 0
    while sent < ENOUGH:
        peer.send(*(make(2 * number + 1) for number in range(sent, sent + batch)))
        sent += batch
        if peer.closed or any(frame.type == Type.GOAWAY for frame in peer.frames):
            break
        try:
            await peer.settle()
        except AssertionError:
            break
    goaways = [frame for frame in peer.frames if frame.type == Type.GOAWAY]
    return sent, goaways[-1] if goaways else None


async def others(subject: Subject, count: int) -> None:
    """Another peer is served `count` times: the server is well, and came by the first peer's socket as often."""
    other = await Peer.connect(subject.path)
    await other.handshake()
    for stream in range(1, 2 * count, 2):
        other.send(call(other, stream, b"hello"))
        await response(other, stream)
    other.close()


# --- streams for nothing


async def test_rapid_reset_is_stopped(peer: Peer, subject: Subject, eventually: Callable[..., Any]) -> None:
    """CVE-2023-44487."""
    sent, goaway = await flood(peer, lambda stream: call(peer, stream, b"wait") + frames.rst_stream(stream))
    assert goaway is not None and goaway.code == Code.ENHANCE_YOUR_CALM, f"{sent} resets, and {goaway}"
    await eventually(lambda: subject.server.tasks == 0 and subject.echo.waiting == 0)


@pytest.mark.parametrize(
    ("what", "violation"),
    [
        ("an increment of 0", lambda stream: frames.window_update(stream, 0)),
        ("a window too large", lambda stream: frames.window_update(stream, LARGEST)),
        ("a wrong PRIORITY", lambda stream: frame(Type.PRIORITY, 0, stream, bytes(4))),
        ("a dependency on itself", lambda stream: frames.priority(stream, stream)),
        ("DATA after the end", lambda stream: frames.data(stream, b"more")),
    ],
)
async def test_resets_that_the_peer_makes_us_send_are_stopped(
    peer: Peer, subject: Subject, eventually: Callable[..., Any], what: str, violation: Callable[[int], bytes]
) -> None:
    """CVE-2025-8671."""
    sent, goaway = await flood(peer, lambda stream: call(peer, stream, b"wait") + violation(stream))
    assert goaway is not None and goaway.code == Code.ENHANCE_YOUR_CALM, f"{sent} times {what}, and {goaway}"
    await eventually(lambda: subject.server.tasks == 0 and subject.echo.waiting == 0)


async def test_a_flood_of_malformed_requests_is_stopped(peer: Peer) -> None:
    bad = frames.headers(1, block(peer, [*GET, ("connection", "close")]))[9:]
    sent, goaway = await flood(peer, lambda stream: frames.headers(stream, bad))
    assert goaway is not None and goaway.code == Code.ENHANCE_YOUR_CALM, f"{sent} of them, and {goaway}"


async def test_resets_of_answered_streams_cost_nothing(peer: Peer) -> None:
    """Envoy resets each ext_proc stream after its answer: these must never count as a flood."""
    for first in range(1, 30_001, 1000):
        streams = range(first, first + 1000, 2)
        peer.send(*(call(peer, stream, b"hello") for stream in streams))
        await responses(peer, *streams)
        peer.send(frames.window_update(0, 5_000), *(frames.rst_stream(stream) for stream in streams))
    assert await peer.settle() == []


# --- frames for nothing


@pytest.mark.parametrize(
    ("what", "make"),
    [
        ("PING", lambda _: frames.ping()),
        ("PING ACK", lambda _: frames.ping(flags=frames.ACK)),
        ("SETTINGS", lambda _: frames.settings()),
        ("SETTINGS that change a window", lambda n: frames.settings([(Setting.INITIAL_WINDOW_SIZE, n)])),
        ("SETTINGS ACK", lambda _: frames.settings(flags=frames.ACK)),
        ("WINDOW_UPDATE", lambda _: frames.window_update(0, 1)),
        ("PRIORITY", lambda _: frames.priority(1)),
        ("PRIORITY on many streams", lambda stream: frames.priority(stream)),
        ("unknown frames", lambda _: frame(0x77)),
    ],
)
async def test_a_flood_of_control_frames_is_stopped(peer: Peer, what: str, make: Callable[[int], bytes]) -> None:
    """CVE-2019-9512, -9515 and their kin."""
    sent, goaway = await flood(peer, make)
    assert goaway is not None and goaway.code == Code.ENHANCE_YOUR_CALM, f"{sent} times {what}, and {goaway}"


@pytest.mark.parametrize(
    ("what", "make"),
    [
        ("empty DATA", lambda _: frames.data(1)),
        ("DATA that is all padding", lambda _: frames.data(1, padding=200)),
        ("WINDOW_UPDATE of the stream", lambda _: frames.window_update(1, 1)),
    ],
)
async def test_a_flood_on_one_stream_is_stopped(peer: Peer, what: str, make: Callable[[int], bytes]) -> None:
    """CVE-2019-9518, -9511."""
    peer.send(start(peer, 1))
    sent, goaway = await flood(peer, make)
    assert goaway is not None and goaway.code == Code.ENHANCE_YOUR_CALM, f"{sent} times {what}, and {goaway}"


@pytest.mark.parametrize("size", [0, 1, 1000])
async def test_a_header_block_that_does_not_end_is_stopped(peer: Peer, size: int) -> None:
    """CVE-2024-27316."""
    peer.send(frames.headers(1, block(peer, GET), END_STREAM))
    peer.send(*(frames.continuation(1, bytes(size), 0) for _ in range(1000)))
    goaway = next(frame for frame in await peer.until_closed() if frame.type == Type.GOAWAY)
    assert goaway.code in (Code.ENHANCE_YOUR_CALM, Code.COMPRESSION_ERROR)


async def test_a_header_list_that_is_too_long_is_refused(peer: Peer) -> None:
    limit = peer.settings[Setting.MAX_HEADER_LIST_SIZE]
    fields = [*GET, *((f"x-{n}", "v" * 1000) for n in range(limit // 1000 + 1))]
    whole = b"".join(b"\x10" + _string(name) + _string(value) for name, value in fields)
    parts = [whole[at : at + 16_384] for at in range(0, len(whole), 16_384)]
    peer.send(frames.headers(1, parts[0], END_STREAM), *(frames.continuation(1, part, 0) for part in parts[1:]))
    peer.send(frames.continuation(1, b""))
    error = await peer.until(lambda frame: frame.type in (Type.GOAWAY, Type.RST_STREAM, Type.HEADERS))
    if error.type == Type.HEADERS:
        assert dict(peer.fields(error))[":status"] == "431"
    else:
        assert error.code in (Code.ENHANCE_YOUR_CALM, Code.PROTOCOL_ERROR, Code.REFUSED_STREAM)


async def test_a_header_list_within_the_announced_size_is_taken(peer: Peer) -> None:
    limit = peer.settings[Setting.MAX_HEADER_LIST_SIZE]
    used = sum(len(name) + len(value) + 32 for name, value in GET)
    filler = "v" * (limit - used - len("x-filler") - 32)
    peer.send(_in_frames(1, b"".join(b"\x10" + _string(n) + _string(v) for n, v in [*GET, ("x-filler", filler)])))
    answer = await response(peer)
    assert dict(answer.headers)[":status"] == "405"


async def test_a_block_that_unpacks_to_megabytes_is_refused(peer: Peer) -> None:
    """The HPACK bomb (CVE-2016-6581): one entry of 4,000 bytes, and 16,000 references of a byte each."""
    peer.send(frames.headers(1, block(peer, [*GET, ("x-bomb", "v" * 3_900)])))
    await response(peer)
    peer.send(frames.headers(3, block(peer, GET) + b"\xbe" * 16_000))
    error = await peer.until(lambda frame: frame.type in (Type.GOAWAY, Type.RST_STREAM, Type.HEADERS))
    assert error.type == Type.HEADERS or error.code in (Code.ENHANCE_YOUR_CALM, Code.PROTOCOL_ERROR)
    assert error.type != Type.HEADERS or dict(peer.fields(error))[":status"] == "431"


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
    wrong = {stream: answer for stream, answer in answers.items() if answer.messages != [b"x" * 2000]}
    assert not wrong, f"{len(wrong)} of {len(answers)}, the first: {next(iter(wrong.items()))}"


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
    updates = sum(int.from_bytes(f.payload, "big") for f in peer.frames if f.type == Type.WINDOW_UPDATE and f.stream == 1)
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


def _string(text: str) -> bytes:
    """RFC 7541 5.2, without Huffman code."""
    size = len(text)
    if size < 127:
        return bytes((size,)) + text.encode()
    size -= 127
    prefix = [127]
    while size >= 128:
        prefix.append(size & 127 | 128)
        size >>= 7
    return bytes((*prefix, size)) + text.encode()


def _in_frames(stream: int, whole: bytes) -> bytes:
    parts = [whole[at : at + 16_384] for at in range(0, len(whole), 16_384)]
    if len(parts) == 1:
        return frames.headers(stream, whole)
    first = frames.headers(stream, parts[0], END_STREAM)
    return b"".join((first, *(frames.continuation(stream, p, 0) for p in parts[1:-1]), frames.continuation(stream, parts[-1])))


def _cut(size: int) -> list[int]:
    return [min(16_384, size - at) for at in range(0, size, 16_384)]
