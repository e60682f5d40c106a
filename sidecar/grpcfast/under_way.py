"""What is known of a call that is not answered in the read that it came with, and what its handler's end means."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import structlog

from sidecar.grpcfast.call import Call
from sidecar.grpcfast.message import OneMessage
from sidecar.grpcfast.request import Request
from sidecar.grpcfast.status import RpcError, Status
from sidecar.http2 import Reply

log = structlog.stdlib.get_logger(__name__)


class Partial:
    """A call whose message is incomplete."""

    __slots__ = ("message", "request", "timer")

    def __init__(self, request: Request, message: OneMessage) -> None:
        self.request = request
        self.message = message
        self.timer: asyncio.TimerHandle | None = None

    def end(self) -> None:
        self.message.close()
        if self.timer is not None:
            self.timer.cancel()


class Discarded:
    """A request that is not gRPC and has not ended."""

    __slots__ = ("reply", "timer")

    def __init__(self, reply: Reply, timer: asyncio.TimerHandle) -> None:
        self.reply = reply
        self.timer = timer

    def end(self) -> None:
        self.timer.cancel()


class Running:
    """A call whose handler is a task. `call`: of a Streaming method."""

    __slots__ = ("call", "task", "timer")

    def __init__(self, task: asyncio.Future[Any], timer: asyncio.TimerHandle | None, call: Call | None) -> None:
        self.task = task
        self.timer = timer
        self.call = call

    def end(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        if self.call is not None:
            self.call.break_off()
        self.task.cancel()


class Answered:
    """The answer waits for the peer's window, and the peer has not ended its side."""

    __slots__ = ()


ANSWERED: Final = Answered()

UnderWay = Request | Discarded | Partial | Running | Answered


def outcome_of(task: asyncio.Future[Any], *, streaming: bool) -> Reply | RpcError | None:
    """What the call ends with; None for the OK of a stream."""
    if task.cancelled():
        return RpcError(Status.CANCELLED, "the call was given up")
    fault = task.exception()
    if fault is not None:
        return problem_of(fault)
    result = task.result()
    if streaming:
        return None
    if isinstance(result, Reply):
        return result
    return problem_of(TypeError(f"a handler returned {type(result).__name__}, which is no Reply"))


def problem_of(fault: BaseException) -> RpcError:
    """What the peer learns of it: of a fault of ours nothing, for its text may hold anything."""
    if isinstance(fault, RpcError):
        return fault
    log.error("handler_failed", exc_info=fault)
    return RpcError(Status.INTERNAL, "internal error")
