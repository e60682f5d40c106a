"""A path and its methods: what it does not take is refused by 405 with Allow, OPTIONS says what it takes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

Handler = Callable[[Request], Awaitable[Response]]


class Methods:
    """An ASGI application of one path."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers
        self.allow = ", ".join(sorted({*handlers, "OPTIONS"}))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = self._handlers.get(scope["method"])
        if handler is not None:
            response = await handler(Request(scope, receive, send))
        elif scope["method"] == "OPTIONS":
            response = Response(status_code=204, headers={"Allow": self.allow})
        else:
            raise HTTPException(405, headers={"Allow": self.allow})
        await response(scope, receive, send)


def route(path: str, handlers: Mapping[str, Handler]) -> Route:
    return Route(path, Methods(handlers))


def read_only(path: str, handler: Handler) -> Route:
    """GET, and HEAD, which is GET without the body (the server leaves it out)."""
    return route(path, {"GET": handler, "HEAD": handler})
