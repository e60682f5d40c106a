"""Responses as finished frames: what a unary call answers, and how a call or an HTTP request is refused.

PROTOCOL-HTTP2, "Responses". A reply is made once and sent many times; only the stream id is put in each time.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from sidecar.grpcfast.message import frame
from sidecar.grpcfast.status import RpcError, Status
from sidecar.http2 import Reply, encode

# What may stand in grpc-message as it is: printable ASCII without the percent sign.
_UNRESERVED: Final = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")

# Characters of a status message, of up to twelve bytes each on the wire: clients take 8 KB of metadata by default.
LONGEST: Final = 512

HEADERS: Final = encode([(b":status", b"200"), (b"content-type", b"application/grpc")])
OK_TRAILERS: Final = encode([(b"grpc-status", b"0")])


def reply(message: bytes) -> Reply:
    """One message and status OK."""
    return Reply.of(HEADERS, frame(message), OK_TRAILERS)


def error(status: Status, message: str) -> Reply:
    """Trailers-only."""
    fields = [(b":status", b"200"), (b"content-type", b"application/grpc"), *_status(status, message)]
    return Reply.of(encode(fields), b"")


def refusal(problem: RpcError) -> Reply:
    return error(problem.status, problem.message)


def trailers(status: Status, message: str) -> bytes:
    """The header block that ends a call whose headers have been sent."""
    return encode(_status(status, message))


def http_error(status: int, text: str, *headers: tuple[bytes, bytes]) -> Reply:
    """For what is not gRPC: a line that says so, for whoever points a browser or curl here. No text: no body (HEAD)."""
    fields = [(b":status", str(status).encode()), *headers]
    if text:
        fields += [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(text)).encode())]
    return Reply.of(encode(fields), text.encode("ascii"))


def _status(status: Status, message: str) -> list[tuple[bytes, bytes]]:
    fields = [(b"grpc-status", str(int(status)).encode())]
    if message:
        fields.append((b"grpc-message", quote(message[:LONGEST], safe=_UNRESERVED, errors="replace").encode()))
    if status is Status.UNIMPLEMENTED:
        # compression.md: says what may be used instead, if it was the compression.
        fields.append((b"grpc-accept-encoding", b"identity"))
    return fields
