"""gRPC's side of the wire (PROTOCOL-HTTP2.md): requests as bytes, and responses taken apart."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from conformance import frames
from conformance.frames import END_HEADERS, END_STREAM, Code, Frame, Type
from conformance.peer import Fields, Peer

OK, UNKNOWN, DEADLINE_EXCEEDED, NOT_FOUND = 0, 2, 4, 5
RESOURCE_EXHAUSTED, ABORTED, UNIMPLEMENTED, INTERNAL = 8, 10, 12, 13
UNARY, ONE, STREAM = "/test.Echo/Unary", "/test.Echo/One", "/test.Echo/Stream"


def call_fields(path: str = UNARY, *more: tuple[str, str], content_type: str | None = "application/grpc") -> Fields:
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("te", "trailers"),
    ]
    if content_type is not None:
        fields.append(("content-type", content_type))
    return [*fields, *more]


def message(payload: bytes, flag: int = 0, length: int | None = None) -> bytes:
    return bytes((flag,)) + (len(payload) if length is None else length).to_bytes(4, "big") + payload


def start(
    peer: Peer, stream: int, path: str = UNARY, *more: tuple[str, str], content_type: str | None = "application/grpc"
) -> bytes:
    """HEADERS of a call whose messages are still to come."""
    block = peer.encoder.encode(call_fields(path, *more, content_type=content_type))
    return frames.headers(stream, block, END_HEADERS)


def call(peer: Peer, stream: int, payload: bytes, path: str = UNARY, *more: tuple[str, str]) -> bytes:
    """A whole unary call in two frames."""
    return start(peer, stream, path, *more) + frames.data(stream, message(payload), END_STREAM)


@dataclass(slots=True)
class Response:
    """`kinds`: the frames in their order, `H` and `D`."""

    headers: Fields = field(default_factory=list)
    data: bytes = b""
    trailers: Fields = field(default_factory=list)
    reset: int | None = None
    kinds: str = ""

    @property
    def status(self) -> int:
        """grpc-status, in the trailers or in the headers of a trailers-only response."""
        place = self.trailers or self.headers
        values = [value for name, value in place if name == "grpc-status"]
        assert len(values) == 1, f"not one grpc-status: {self}"
        return int(values[0])

    @property
    def note(self) -> str:
        """grpc-message as it is on the wire."""
        return dict(self.trailers or self.headers).get("grpc-message", "")

    @property
    def messages(self) -> list[bytes]:
        out = []
        rest = self.data
        while rest:
            assert rest[0] == 0, "a compressed message"
            size = int.from_bytes(rest[1:5], "big")
            assert len(rest) >= 5 + size, "a message cut off"
            out.append(rest[5 : 5 + size])
            rest = rest[5 + size :]
        return out


async def responses(peer: Peer, *streams: int, forsaken: Collection[int] = ()) -> dict[int, Response]:
    """Read until all these streams have ended. What comes on others is an error, but for the forsaken ones."""
    found = {stream: Response() for stream in streams}
    open_streams = set(streams)
    while open_streams:
        frame = await peer.until(lambda frame: frame.type in (Type.HEADERS, Type.DATA, Type.RST_STREAM, Type.GOAWAY))
        assert frame.type != Type.GOAWAY or frame.code == Code.NO_ERROR, f"{frame}"
        if frame.type == Type.GOAWAY or _late_stop(frame, open_streams):
            continue
        if frame.stream in forsaken:
            if frame.type == Type.HEADERS:
                peer.fields(frame)  # the decoder stays in step
            continue
        assert frame.stream in found, f"{frame}: on a stream that nobody asked"
        assert frame.stream in open_streams, f"{frame}: after the end of its stream"
        response = found[frame.stream]
        if frame.type == Type.RST_STREAM:
            response.reset = frame.code
            open_streams.discard(frame.stream)
            continue
        if frame.type == Type.DATA:
            assert response.headers, "DATA before HEADERS"
            response.data += frame.payload
            response.kinds += "D"
        else:
            fields = peer.fields(frame)
            if response.headers:
                response.trailers = fields
                assert frame.ends_stream, "trailers without END_STREAM"
            else:
                response.headers = fields
            response.kinds += "H"
        if frame.ends_stream:
            open_streams.discard(frame.stream)
    return found


def _late_stop(frame: Frame, open_streams: set[int]) -> bool:
    """RFC 9113 8.1: the response was complete before the request, whose rest is not wanted."""
    return frame.type == Type.RST_STREAM and frame.code == Code.NO_ERROR and frame.stream not in open_streams


async def response(peer: Peer, stream: int = 1) -> Response:
    return (await responses(peer, stream))[stream]


def ok(answer: Response, *payloads: bytes) -> None:
    """These messages, and status OK in trailers."""
    assert answer.reset is None
    assert answer.status == OK
    assert dict(answer.headers)[":status"] == "200"
    assert dict(answer.headers)["content-type"].startswith("application/grpc")
    assert "grpc-status" not in dict(answer.headers)
    assert answer.messages == list(payloads)


def refused(answer: Response, *codes: int) -> None:
    """Trailers-only, with one of these."""
    assert answer.status in codes, answer
    assert dict(answer.headers)[":status"] == "200"
    assert dict(answer.headers)["content-type"].startswith("application/grpc")
    assert answer.kinds == "H", "an error without messages is one HEADERS frame"
    assert answer.reset in (None, Code.NO_ERROR)
