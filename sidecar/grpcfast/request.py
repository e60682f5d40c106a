"""What the headers of a request ask for: read once for each header block that is met, and shared by all calls with it.

PROTOCOL-HTTP2, "Requests". `te: trailers` is not insisted on (nor does grpc-go): it is there to find proxies that drop
trailers, which a client notices by itself. The codec has refused any other `te` (RFC 9113, 8.2.2).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sidecar.grpcfast.message import IDENTITY
from sidecar.grpcfast.methods import Handle, Method, OneAnswer, StreamHandle, Streaming, Unary
from sidecar.grpcfast.reply import error, http_error
from sidecar.grpcfast.status import Status
from sidecar.grpcfast.timeout import read_timeout
from sidecar.http2 import HeaderList, Reply

# application/grpc, +proto and the like, parameters; not application/grpc-web.
_is_grpc = re.compile(rb"application/grpc(?:[+;].*)?", re.IGNORECASE | re.DOTALL).fullmatch

NOT_POST: Final = http_error(405, "gRPC is served here: POST only.\n", (b"allow", b"POST"))
NOT_POST_BUT_HEAD: Final = http_error(405, "", (b"allow", b"POST"))
NOT_GRPC: Final = http_error(415, "gRPC is served here: content-type application/grpc only.\n")


@dataclass(frozen=True, slots=True)
class Request:
    """A call with one message: Unary or OneAnswer. `timeout`: seconds from now, above 0; None without a deadline."""

    handle: Handle
    early: bool
    max_message: int
    encoding: bytes
    timeout: float | None


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """A call of a Streaming method."""

    handle: StreamHandle
    max_message: int
    encoding: bytes
    timeout: float | None


@dataclass(frozen=True, slots=True)
class Refused:
    """Answered at once."""

    status: Status
    reply: Reply


@dataclass(frozen=True, slots=True)
class NotGrpc:
    """Answered when the request has ended, whatever it brings."""

    reply: Reply


Asked = Request | StreamRequest | Refused | NotGrpc


class RequestReader:
    """Total over header lists that the codec found valid; no state but the methods."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self._methods = {path.encode(): method for path, method in methods.items()}

    def read(self, headers: HeaderList) -> Asked:
        fields = dict(headers)
        verb = fields.get(b":method")
        if verb != b"POST":
            return NotGrpc(NOT_POST_BUT_HEAD if verb == b"HEAD" else NOT_POST)
        if _is_grpc(fields.get(b"content-type", b"")) is None:
            return NotGrpc(NOT_GRPC)
        method = self._methods.get(fields.get(b":path", b""))
        if method is None:
            return _refused(Status.UNIMPLEMENTED, "there is no such method here")
        timeout = None
        if (asked := fields.get(b"grpc-timeout")) is not None:
            timeout = read_timeout(asked)
            if timeout is None:
                return _refused(Status.INTERNAL, "malformed grpc-timeout")
            if timeout <= 0:
                return _refused(Status.DEADLINE_EXCEEDED, "the deadline had passed when the call came")
        encoding = fields.get(b"grpc-encoding", IDENTITY)
        match method:
            case Unary(handle, max_message):
                return Request(handle, False, max_message, encoding, timeout)
            case OneAnswer(handle, max_message):
                return Request(handle, True, max_message, encoding, timeout)
            case Streaming(serve, max_message):
                return StreamRequest(serve, max_message, encoding, timeout)


def _refused(status: Status, message: str) -> Refused:
    return Refused(status, error(status, message))
