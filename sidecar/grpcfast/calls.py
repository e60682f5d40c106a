"""The calls of one connection: the codec's events in, handlers called, answers into the codec.

`handle` writes nothing: its caller flushes after it. What comes later (a task ends, a deadline passes, a stream sends)
flushes by itself. A call is, one after the other: headers; a part of its message; a task. Where nothing has to wait it
is none of these for long: headers, message and reply are one turn of `handle`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sidecar.grpcfast.call import Call
from sidecar.grpcfast.message import PREFIX, MessageReader, OneMessage, frame
from sidecar.grpcfast.reply import HEADERS, OK_TRAILERS, error, trailers
from sidecar.grpcfast.request import Asked, NotGrpc, Refused, Request, StreamRequest
from sidecar.grpcfast.service import Service
from sidecar.grpcfast.status import RpcError, Status
from sidecar.grpcfast.under_way import (
    ANSWERED,
    Discarded,
    Partial,
    Running,
    UnderWay,
    outcome_of,
    problem_of,
)
from sidecar.http2 import DATA, DRAINED, REQUEST, RESET, WHOLE, Connection, ErrorCode, Event, Reply


class Calls:
    """`paused`: the transport's buffer is full."""

    def __init__(self, connection: Connection[Asked], service: Service, flush: Callable[[], None]) -> None:
        self.flush = flush
        self.paused = False
        self._connection = connection
        self._service = service
        self._calls: dict[int, UnderWay] = {}

    def handle(self, events: Sequence[Event[Asked]]) -> None:
        """The hit path: no task, no await, no log, and no object but the message."""
        calls = self._calls
        begun = 0
        for event in events:
            if event[0] == WHOLE:
                _, stream_id, asked, data = event
                if (
                    type(asked) is Request
                    # not compressed, and all of it is in this frame
                    and int.from_bytes(data[:PREFIX], "big") == len(data) - PREFIX <= asked.max_message
                ):
                    begun += 1
                    self._serve(stream_id, asked, data[PREFIX:], None)
                else:
                    self.handle(((REQUEST, stream_id, asked, False), (DATA, stream_id, data, True)))
            elif event[0] == DATA:
                _, stream_id, data, ended = event
                call = calls.get(stream_id)
                if (
                    type(call) is Request
                    and (ended or call.early)
                    and int.from_bytes(data[:PREFIX], "big") == len(data) - PREFIX <= call.max_message
                ):
                    del calls[stream_id]
                    self._serve(stream_id, call, data[PREFIX:], None)
                    if not ended:
                        self._hang_up(stream_id)
                elif call is not None:
                    self._receive(stream_id, call, data, ended)
            elif event[0] == REQUEST:
                _, stream_id, asked, ended = event
                begun += 1
                if type(asked) is Request and not ended:
                    calls[stream_id] = asked
                else:
                    self._open(stream_id, asked, ended)
            elif event[0] == RESET:
                self._forget(event[1])
            elif event[0] == DRAINED:
                self._drained(event[1])
        self._service.counters.calls += begun
        if calls:
            self._watch(events)

    def close(self) -> None:
        """The connection is lost."""
        for stream_id in list(self._calls):
            self._forget(stream_id)
        del self.flush  # the way back to the protocol: both are freed now, and not when cycles are collected

    def unblock(self) -> None:
        """The transport's buffer has room again."""
        for stream_id in list(self._calls):
            self._drained(stream_id)

    # --- a call begins, or goes on

    def _open(self, stream_id: int, asked: Asked, ended: bool) -> None:
        match asked:
            case StreamRequest():
                self._stream(stream_id, asked, ended)
            case Request():
                self._refuse(stream_id, RpcError(Status.INTERNAL, "the request ended without a message"))
            case Refused(status, reply):
                self._service.counters.errors[status] += 1
                self._connection.reply(stream_id, reply)
                self._hang_up(stream_id)
            case NotGrpc(reply) if ended:
                self._connection.reply(stream_id, reply)
            case NotGrpc(reply):
                timer = self._timer(stream_id, self._service.limits.answer)
                self._calls[stream_id] = Discarded(reply, timer)

    def _receive(self, stream_id: int, call: UnderWay, data: bytes, ended: bool) -> None:
        match call:
            case Request():
                self._gather(stream_id, self._begin(stream_id, call), data, ended)
            case Partial():
                self._gather(stream_id, call, data, ended)
            case Running(call=Call() as stream):
                try:
                    stream.receive(data, ended)
                except RpcError as problem:
                    self._end(stream_id, call, problem)
            case Discarded(reply=reply) if ended:
                self._end(stream_id, call, reply)
            case _:
                self._connection.consumed(stream_id, len(data))  # not gRPC, or after the one message that is read

    def _begin(self, stream_id: int, request: Request) -> Partial:
        reader = MessageReader(request.max_message, request.encoding, self._service.buffered)
        self._calls[stream_id] = begun = Partial(request, OneMessage(reader, request.early))
        return begun

    def _gather(self, stream_id: int, call: Partial, data: bytes, ended: bool) -> None:
        # What all calls may hold together is bounded by `Limits.buffered`; the windows need not be.
        self._connection.consumed(stream_id, len(data))
        try:
            message = call.message.feed(data, ended)
        except RpcError as problem:
            self._end(stream_id, call, problem)
            return
        if message is not None:
            del self._calls[stream_id]
            call.message.close()
            self._serve(stream_id, call.request, message, call.timer)
            self._hang_up(stream_id)

    def _watch(self, events: Sequence[Event[Asked]]) -> None:
        """Calls that began with these events and whose message is still incomplete: their time runs from here."""
        for event in events:
            if event[0] != REQUEST:
                continue
            call = self._calls.get(event[1])
            if isinstance(call, Request):
                call = self._begin(event[1], call)
            if isinstance(call, Partial):
                call.timer = self._timer(event[1], self._seconds(call.request))

    # --- its handler

    def _serve(self, stream_id: int, request: Request, message: bytes, timer: asyncio.TimerHandle | None) -> None:
        """`timer`: the deadline, if it has begun to run."""
        try:
            answer = request.handle(message)
            if not isinstance(answer, Reply):
                task = asyncio.ensure_future(answer)
                self._run(stream_id, Running(task, timer or self._timer(stream_id, self._seconds(request)), None))
                return
        except Exception as fault:  # noqa: BLE001 -- the top of a call: logged with its traceback
            self._refuse(stream_id, problem_of(fault))
        else:
            self._connection.reply(stream_id, answer)
        if timer is not None:
            timer.cancel()

    def _stream(self, stream_id: int, request: StreamRequest, ended: bool) -> None:
        call = Call(self, stream_id, MessageReader(request.max_message, request.encoding, self._service.buffered))
        if ended:
            call.receive(b"", ended)
        try:
            task = asyncio.ensure_future(request.handle(call))
        except Exception as fault:  # noqa: BLE001 -- the top of a call: logged with its traceback
            self._refuse(stream_id, problem_of(fault))
            return
        timer = None if request.timeout is None else self._timer(stream_id, request.timeout)
        self._run(stream_id, Running(task, timer, call))

    def _run(self, stream_id: int, running: Running) -> None:
        self._calls[stream_id] = running
        self._service.tasks.add(running.task)
        running.task.add_done_callback(partial(self._done, stream_id))

    def _seconds(self, request: Request) -> float:
        limit = self._service.limits.answer
        return limit if request.timeout is None else min(request.timeout, limit)

    def _timer(self, stream_id: int, seconds: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, self._expire, stream_id)

    def _expire(self, stream_id: int) -> None:
        """The deadline: the answer is late, whatever it will be."""
        match self._calls.get(stream_id):
            case Partial() | Running() as call:
                self._end(stream_id, call, RpcError(Status.DEADLINE_EXCEEDED, "the deadline has passed"))
            case Discarded() as request:
                self._end(stream_id, request, request.reply)
        self.flush()

    def _done(self, stream_id: int, task: asyncio.Future[Any]) -> None:
        """Its handler has ended, wanted or not."""
        self._service.tasks.discard(task)
        running = self._calls.get(stream_id)
        if isinstance(running, Running):
            self._end(stream_id, running, outcome_of(task, streaming=running.call is not None))
            self.flush()
        else:
            outcome_of(task, streaming=True)  # the call was over before; a fault is logged all the same

    # --- its end

    def _end(self, stream_id: int, call: Partial | Discarded | Running, outcome: Reply | RpcError | None) -> None:
        """`outcome`: None for the OK of a stream."""
        del self._calls[stream_id]
        call.end()
        if isinstance(outcome, Reply):
            self._connection.reply(stream_id, outcome)
            self._hang_up(stream_id)
        elif isinstance(call, Running) and call.call is not None and (outcome is None or call.call.headers_sent):
            self._end_stream(stream_id, call.call, outcome)
        elif outcome is not None:
            self._refuse(stream_id, outcome)

    def _end_stream(self, stream_id: int, call: Call, problem: RpcError | None) -> None:
        if not call.headers_sent:
            self._connection.send_headers(stream_id, HEADERS)
        if problem is None:
            self._connection.send_trailers(stream_id, OK_TRAILERS)
        else:
            self._service.counters.errors[problem.status] += 1
            self._connection.send_trailers(stream_id, trailers(problem.status, problem.message))
        self._hang_up(stream_id)

    def _refuse(self, stream_id: int, problem: RpcError) -> None:
        self._service.counters.errors[problem.status] += 1
        self._connection.reply(stream_id, error(problem.status, problem.message))
        self._hang_up(stream_id)

    def _hang_up(self, stream_id: int) -> None:
        """After an answer: the peer need not send the rest of its request (RFC 9113, 8.1)."""
        if stream_id in self._calls:
            return  # not answered yet
        if self._connection.queued(stream_id):
            self._calls[stream_id] = ANSWERED
        else:
            self._connection.reset(stream_id, ErrorCode.NO_ERROR)

    def _forget(self, stream_id: int) -> None:
        """The peer has reset the stream, or is gone."""
        call = self._calls.pop(stream_id, None)
        if call is None or call is ANSWERED:
            return
        self._service.counters.cancelled += 1
        if isinstance(call, Partial | Discarded | Running):
            call.end()

    def _drained(self, stream_id: int) -> None:
        """What waited for a window or for the transport has gone, perhaps."""
        call = self._calls.get(stream_id)
        if isinstance(call, Running) and call.call is not None:
            call.call.unblock()
        elif call is ANSWERED:
            del self._calls[stream_id]
            self._hang_up(stream_id)

    # --- what a streaming call uses

    def send(self, stream_id: int, message: bytes, first: bool) -> None:
        if first:
            self._connection.send_headers(stream_id, HEADERS)
        self._connection.send_data(stream_id, frame(message))

    def blocked(self, stream_id: int) -> bool:
        return self.paused or self._connection.queued(stream_id) > 0

    def consumed(self, stream_id: int, size: int) -> None:
        self._connection.consumed(stream_id, size)
