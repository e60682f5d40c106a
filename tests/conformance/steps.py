"""The steps of which cases are made: frames whose header blocks are made by the connection's own HPACK encoder."""

from __future__ import annotations

from collections.abc import Iterable

from conformance import frames
from conformance.case import Step, Wait
from conformance.frames import END_HEADERS, END_STREAM, Setting, Type
from conformance.peer import Peer

Fields = list[tuple[str, str]]

GET: Fields = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "127.0.0.1:8080")]
POST: Fields = [(":method", "POST"), *GET[1:]]
WHOLE = END_STREAM | END_HEADERS


def raw(content: bytes) -> Step:
    return lambda peer: content


def request(
    stream: int = 1,
    fields: Fields = GET,
    flags: int = WHOLE,
    *,
    before: bytes = b"",
    after: bytes = b"",
    padding: int | None = None,
    depends_on: int | None = None,
) -> Step:
    """HEADERS; `before` and `after` are put around the block as they are."""

    def build(peer: Peer) -> bytes:
        return frames.headers(stream, before + block(peer, fields) + after, flags, padding, depends_on)

    return build


def only(*fields: tuple[str, str], flags: int = WHOLE) -> Step:
    """HEADERS of stream 1 with these fields."""
    return request(fields=list(fields), flags=flags)


def with_field(name: str, value: str, fields: Fields = GET, flags: int = WHOLE) -> Step:
    return request(fields=[*fields, (name, value)], flags=flags)


def continuation(stream: int, fields: Fields, flags: int = END_HEADERS) -> Step:
    return lambda peer: frames.continuation(stream, block(peer, fields), flags)


def post(stream: int = 1, *more: tuple[str, str]) -> Step:
    """HEADERS of a POST whose body is still to come."""
    return request(stream, [*POST, *more], END_HEADERS)


def pieces(stream: int, fields: Fields, flags: int, count: int) -> Step:
    """HEADERS and CONTINUATION frames, `count` in all."""

    def build(peer: Peer) -> bytes:
        whole = block(peer, fields)
        size = -(-len(whole) // count)
        parts = [whole[start : start + size] for start in range(0, len(whole), size)]
        first = frames.headers(stream, parts[0], flags & ~END_HEADERS)
        rest = [frames.continuation(stream, part, 0) for part in parts[1:-1]]
        return b"".join((first, *rest, frames.continuation(stream, parts[-1])))

    return build


def block(peer: Peer, fields: Iterable[tuple[str, str]]) -> bytes:
    """`peer.encoder`'s; names and values may have any byte (as Latin-1) in them."""
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]
    return peer.encoder.encode(pairs)


def literal(name: str, value: str) -> bytes:
    """A field that no encoder would touch: literal, never indexed, no Huffman code, short strings only."""
    first, second = name.encode("latin-1"), value.encode("latin-1")
    assert max(len(first), len(second)) < 127
    return b"\x10" + bytes((len(first),)) + first + bytes((len(second),)) + second


def initial_window(*sizes: int) -> Step:
    return raw(frames.settings((Setting.INITIAL_WINDOW_SIZE, size) for size in sizes))


# --- waits

ACKNOWLEDGED = Wait(lambda frame: frame.type == Type.SETTINGS)
DATA_CAME = Wait(lambda frame: frame.type == Type.DATA)


RESET_CAME = Wait(lambda frame: frame.type == Type.RST_STREAM)


def ended(stream: int = 1) -> Wait:
    return Wait(lambda frame: frame.stream == stream and frame.ends_stream)
