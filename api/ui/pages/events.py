"""What a page that is open is told: its live part anew when it says something else, as server-sent events.

    event: live      {"html": …, "version": …, "text": …}
    event: over      {} the session has ended, or the domain is gone: load the page anew, do not come back

https://html.spec.whatwg.org/multipage/server-sent-events.html. A stream ends after LONGEST, when the process ends, when
its session does, and when its reader has stalled; the browser comes back by itself with the version that it has
(Last-Event-ID).
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, aclosing, contextmanager, suppress
from datetime import datetime
from time import monotonic
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from api.caller import domain_id
from api.problems import Problem
from api.routing import Handler
from api.service import DomainNotFound, Unavailable
from api.ui.changes import Changes
from api.ui.guard import Guard
from api.ui.pages.domain import LIVE, DomainPages
from api.ui.sentence import sentence
from api.ui.sessions import Sessions, Visitor
from api.ui.view import HEADERS, View

# Seconds. A hint makes it sooner than EVERY, but not sooner than PAUSE after the look before.
EVERY, PAUSE = 5.0, 1.0
LOOKS = 100.0  # a second, of all streams together, about
ALIVE = 15.0  # until something is said, so that proxies leave the connection open
LONGEST = 1800.0
STALLED = 60.0  # that nothing more can be sent; whoever takes nothing keeps no place
RETRY = 3000  # milliseconds, until the browser comes back
# A tenant may have any number of sessions.
OF_SESSION, OF_TENANT, IN_ALL = 6, 100, 500
BUSY_PAUSE = 30  # seconds until it is worth to ask again


class Stalled(Exception):
    """The reader takes nothing of what is sent."""


class Events(StreamingResponse):
    """A stream that is ended, and its place given back, whatever becomes of the connection."""

    def __init__(
        self, stream: AsyncGenerator[str], headers: Mapping[str, str], place: AbstractContextManager[None]
    ) -> None:
        super().__init__(stream, headers=headers, media_type="text/event-stream; charset=utf-8")
        self._stream = stream
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            try:
                async with asyncio.timeout(STALLED):
                    await send(message)
            except TimeoutError:
                raise Stalled from None

        with self._place, suppress(Stalled):
            async with aclosing(self._stream):
                await super().__call__(scope, receive, send_in_time)


class EventsPages:
    """`clock`: monotonic seconds."""

    def __init__(
        self,
        guard: Guard,
        view: View,
        pages: DomainPages,
        sessions: Sessions,
        changes: Changes,
        now: Callable[[], datetime],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._guard = guard
        self._view = view
        self._pages = pages
        self._sessions = sessions
        self._changes = changes
        self._now = now
        self._clock = clock
        self._open: Counter[UUID] = Counter()  # by session
        self._of_tenants: Counter[UUID] = Counter()

    def table(self) -> Mapping[str, Mapping[str, Handler]]:
        return {"/ui/domains/{id}/events": {"GET": self.show}}

    async def show(self, request: Request) -> Response:
        visitor = await self._guard.watcher(request)
        wanted = domain_id(request)
        await self._pages.state(visitor, wanted)
        open_, of_tenant = self._open, self._of_tenants[visitor.principal.tenant_id]
        if open_.total() >= IN_ALL or of_tenant >= OF_TENANT or open_[visitor.session_id] >= OF_SESSION:
            raise Problem("too_many_requests", "Too many pages are kept up to date.", retry_after=BUSY_PAUSE)
        if request.method == "HEAD":
            return Response(headers=HEADERS, media_type="text/event-stream")
        known = request.headers.get("last-event-id") or request.query_params.get("version", "")
        # The headers of pages, and for proxies that would collect what comes before they send it on.
        headers = {**HEADERS, "X-Accel-Buffering": "no"}
        return Events(self._stream(visitor, wanted, known), headers, self._place(visitor))

    @contextmanager
    def _place(self, visitor: Visitor) -> Iterator[None]:
        session, tenant = visitor.session_id, visitor.principal.tenant_id
        self._open[session] += 1
        self._of_tenants[tenant] += 1
        try:
            yield
        finally:
            self._open[session] -= 1
            self._of_tenants[tenant] -= 1
            self._open += Counter()  # without those that have none
            self._of_tenants += Counter()

    async def _stream(self, visitor: Visitor, wanted: UUID, known: str) -> AsyncGenerator[str]:
        async with self._changes.subscribe() as waiter:
            yield f"retry: {RETRY}\n\n"
            start = said = self._clock()
            while (looked := self._clock()) - start < LONGEST:
                try:
                    if not await self._sessions.lasts(visitor.session_id):
                        yield _event("over", "", {})
                        return
                    told, known = await self._news(visitor, wanted, known)
                except DomainNotFound:
                    yield _event("over", "", {})
                    return
                except Unavailable:
                    told = ""
                if not told and self._clock() - said >= ALIVE:
                    told = ":\n\n"
                if told:
                    yield told
                    said = self._clock()
                if not await waiter.wait(EVERY):
                    return
                await asyncio.sleep(max(0.0, PAUSE - (self._clock() - looked)) + self._spread())

    def _spread(self) -> float:
        """Seconds: a hint wakes all streams, and their looks are not to come at the same moment."""
        return random.random() * self._open.total() / LOOKS  # noqa: S311 -- jitter

    async def _news(self, visitor: Visitor, wanted: UUID, known: str) -> tuple[str, str]:
        """The event, or '', and the version that is known then."""
        state = await self._pages.state(visitor, wanted)
        version = state.version(self._now())
        if version == known:
            return "", known
        context = await self._pages.context(visitor, state)
        html = self._view.fragment(LIVE, **context)
        text = sentence(state.domain, self._now()).text
        return _event("live", version, {"html": html, "version": version, "text": text}), version


def _event(kind: str, version: str, data: Mapping[str, Any]) -> str:
    """JSON has no line breaks outside of strings, and none within: one line of data."""
    identity = f"id: {version}\n" if version else ""
    return f"{identity}event: {kind}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"
