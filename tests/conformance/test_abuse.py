"""A peer that means harm (RFC 9113 10.5): what it can make the server do or keep has an end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from conformance import frames
from conformance.frames import END_HEADERS, END_STREAM, LARGEST, Code, Setting, Type, frame
from conformance.grpc import call, response, responses, start
from conformance.peer import Peer
from conformance.steps import GET, block
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
        ("HEADERS that are no trailers", lambda stream: frames.headers(stream, b"\x10\x01x\x01y", END_HEADERS)),
    ],
)
async def test_resets_that_the_peer_makes_us_send_are_stopped(
    peer: Peer, what: str, violation: Callable[[int], bytes]
) -> None:
    """CVE-2025-8671."""
    sent, goaway = await flood(peer, lambda stream: start(peer, stream) + violation(stream))
    assert goaway is not None and goaway.code == Code.ENHANCE_YOUR_CALM, f"{sent} times {what}, and {goaway}"


async def test_they_are_when_calls_are_under_way(peer: Peer, subject: Subject, eventually: Callable[..., Any]) -> None:
    sent, goaway = await flood(peer, lambda stream: call(peer, stream, b"wait") + frames.data(stream, b"more"))
    assert goaway is not None and goaway.code == Code.ENHANCE_YOUR_CALM, f"{sent} times, and {goaway}"
    await eventually(lambda: subject.server.tasks == 0 and subject.echo.waiting == 0)


async def test_a_flood_of_malformed_requests_is_stopped(peer: Peer) -> None:
    bad = frames.headers(1, block(peer, [*GET, ("connection", "close")]))[9:]
    sent, goaway = await flood(peer, lambda stream: frames.headers(stream, bad))
    assert goaway is not None and goaway.code == Code.ENHANCE_YOUR_CALM, f"{sent} of them, and {goaway}"


async def test_resets_of_answered_streams_cost_nothing(peer: Peer) -> None:
    """Envoy resets each ext_proc stream after its answer: these must never count as a flood."""
    for first in range(1, 22_001, 1000):
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
        ("PRIORITY on many streams", frames.priority),
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


@pytest.mark.parametrize("by", ["SETTINGS", "WINDOW_UPDATE"])
async def test_answers_are_not_drawn_out_octet_by_octet_without_end(peer: Peer, by: str) -> None:
    """CVE-2019-9511: many answers wait for a window, which grows by one octet at a time."""
    peer.send(frames.settings([(Setting.INITIAL_WINDOW_SIZE, 0)]), frames.window_update(0, 2**30))
    streams = range(1, 1001, 2)
    peer.send(*(call(peer, stream, b"many 2000") for stream in streams))
    await peer.settle()
    if by == "SETTINGS":
        peer.send(*(frames.settings([(Setting.INITIAL_WINDOW_SIZE, size)]) for size in range(1, 2001)))
    else:
        peer.send(*(frames.window_update(stream, 1) for _ in range(100) for stream in streams))
    came = await peer.until_closed()
    assert came[-1].type == Type.GOAWAY and came[-1].code == Code.ENHANCE_YOUR_CALM
    assert sum(frame.type == Type.DATA for frame in came) < ENOUGH


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
    return b"".join(
        (first, *(frames.continuation(stream, p, 0) for p in parts[1:-1]), frames.continuation(stream, parts[-1]))
    )
