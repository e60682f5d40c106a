"""The three kinds of methods that a server has, as what it calls when a request has come."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sidecar.grpcfast.call import Call
from sidecar.grpcfast.limits import MAX_MESSAGE
from sidecar.http2 import Reply

# A handler raises RpcError to refuse; any other exception is a fault of ours, logged and answered INTERNAL.
# A Reply is sent at once. An awaitable becomes a task, cancelled when the client goes away or the deadline passes.
Handle = Callable[[bytes], Reply | Awaitable[Reply]]
StreamHandle = Callable[[Call], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Unary:
    """Called with the request message when the client has ended its side."""

    handle: Handle
    max_message: int = MAX_MESSAGE


@dataclass(frozen=True, slots=True)
class OneAnswer:
    """A stream of the client's that gets one answer: called when the first message is complete, the rest is not read.

    What Envoy's ext_proc is when only request headers are processed (it does not end its side until it is answered).
    """

    handle: Handle
    max_message: int = MAX_MESSAGE


@dataclass(frozen=True, slots=True)
class Streaming:
    """Messages in both directions, in any order. The call ends with OK when the coroutine returns."""

    handle: StreamHandle
    max_message: int = MAX_MESSAGE


Method = Unary | OneAnswer | Streaming
