"""One HTTP/1.1 connection to a server that we ask, one exchange at a time (RFC 9112), on httptools' parser.

    HttpError
    ├── NotConnected    nobody listens, the name does not resolve, or the certificate there is not trusted
    ├── ConnectionCut   it ended before the answer was complete
    └── BadAnswer       not HTTP/1.1 as one answer, longer than MAX_ANSWER, or a redirect that is not to be followed

No error holds anything that was sent or received. The end of an answer must be told by its framing (Content-Length or
chunks): one that lasts until the connection ends cannot be told from one that was cut.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

# Octets of an answer with its headers. A certificate, its chain and key are 5 to 15 KB in JSON, a proxy's page of
# error as much; Vault itself takes requests of up to 32 MB, which nobody shall make us keep.
MAX_ANSWER: Final = 1 << 20


class HttpError(Exception):
    """There is no answer. Carries no text."""


class NotConnected(HttpError):
    pass


class ConnectionCut(HttpError):
    pass


class BadAnswer(HttpError):
    pass


@dataclass(frozen=True, slots=True)
class Answer:
    """`location`: of a redirect, as it was sent."""

    status: int
    body: bytes = field(repr=False)
    location: bytes | None = None


class Connection(asyncio.Protocol):
    """To be made on the loop, as a protocol factory. `idle_since`: the owner's note."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._parser = HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None  # the exchange under way
        self._received = 0
        self._status = 0
        self._location: bytes | None = None
        self._body: list[bytes] = []
        self._complete = False
        self._keep_alive = False
        self._excess = False
        self.lost: asyncio.Future[None] = loop.create_future()
        self.idle_since = 0.0

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def exchange(self, request: bytes) -> Answer:
        """Raises ConnectionCut, BadAnswer. After those, or when the caller gives up, it is not usable any more."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionCut
        self._received, self._complete = 0, False
        waiting: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting = waiting
        try:
            self._transport.write(request)
            return await waiting
        except BaseException:
            self.abort()
            raise
        finally:
            self._waiting = None

    def abort(self) -> None:
        """End it at once: no wait for a peer that does not end its side."""
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._waiting is None:  # what nobody asked for would be taken for the next answer
            self.abort()
            return
        self._received += len(data)
        if self._received > MAX_ANSWER:
            self._fail(BadAnswer())
            return
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._fail(BadAnswer())
            return
        if self._excess:
            self._fail(BadAnswer())
        elif self._complete:
            self._answered()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._fail(ConnectionCut())
        if not self.lost.done():
            self.lost.set_result(None)

    # --- httptools

    def on_message_begin(self) -> None:
        self._excess = self._complete
        self._status, self._location = 0, None
        self._body.clear()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._status == 0 and name.lower() == b"location":  # not of a trailer
            self._location = value

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        self._complete = self._status >= 200  # RFC 9110, 15.2: others come before the answer
        self._keep_alive = self._parser.should_keep_alive()

    # ---

    def _answered(self) -> None:
        if not self._keep_alive:
            self.abort()
        waiting = self._waiting
        if waiting is not None and not waiting.done():
            waiting.set_result(Answer(self._status, b"".join(self._body), self._location))
        self._body.clear()

    def _fail(self, error: HttpError) -> None:
        self.abort()
        self._body.clear()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)
