"""gRPC on sidecar.http2, for asyncio: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md

In the order of a request: protocol → (http2) → request → message → calls → methods, call → reply → (http2) → protocol.
"""

from sidecar.grpcfast.call import Call
from sidecar.grpcfast.limits import LIMITS, MAX_MESSAGE, Limits
from sidecar.grpcfast.methods import Method, OneAnswer, Streaming, Unary
from sidecar.grpcfast.reply import error, reply
from sidecar.grpcfast.server import Server
from sidecar.grpcfast.status import RpcError, Status
from sidecar.http2 import Reply

__all__ = [
    "LIMITS",
    "MAX_MESSAGE",
    "Call",
    "Limits",
    "Method",
    "OneAnswer",
    "Reply",
    "RpcError",
    "Server",
    "Status",
    "Streaming",
    "Unary",
    "error",
    "reply",
]
