"""One HTTP exchange: its id, the headers that every response has, its log line and its figures.

The outermost layer, so that it also sees what the error handling makes of a failure.
"""

from __future__ import annotations

import re
from time import perf_counter
from uuid import uuid4

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.body import MAX_DRAINED
from core.trace import NOTHING, Span, Tracer

REQUEST_ID_HEADER = "X-Request-Id"
REQUEST_ID_PATTERN = r"^[A-Za-z0-9._:-]{1,128}$"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
MAX_PATH_LOGGED = 256
TRACEPARENT = "traceparent"  # https://www.w3.org/TR/trace-context/
PROBES = frozenset({"/livez", "/readyz", "/metrics"})
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

log = structlog.get_logger(__name__)


class RequestMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.finished = Counter(
            "nameplate_api_requests_total",
            "Requests answered, by method, route and status.",
            ["method", "route", "status"],
            registry=registry,
        )
        self.seconds = Histogram(
            "nameplate_api_request_seconds", "Time to answer.", ["method", "route"], registry=registry
        )


class Exchange:
    """ASGI middleware. The request's id is in `request.state.request_id`; handlers may add `tenant_id` there.

    `tracer`: of requests that somebody asks for, not of probes nor of streams that last.
    """

    def __init__(self, app: ASGIApp, metrics: RequestMetrics, tracer: Tracer = NOTHING) -> None:
        self._app = app
        self._metrics = metrics
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if not scope["path"].startswith("/"):  # absolute-form (RFC 9112 section 3.2.2): the authority does not matter
            scope["path"] = "/" + scope["path"].partition("://")[2].partition("/")[2]
        request_headers = Headers(scope=scope)
        request_id = accepted_id(request_headers.getlist(REQUEST_ID_HEADER)) or uuid4().hex
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        status = 0
        unread = may_be_long(request_headers)
        # Whoever is in front may have ended the request elsewhere: nothing after it is taken (RFC 9112 section 6.1).
        ambiguous = "transfer-encoding" in request_headers and "content-length" in request_headers
        started = perf_counter()

        async def receive_body() -> Message:
            nonlocal unread
            message = await receive()
            unread = unread and message.get("more_body", False)
            return message

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID_HEADER] = request_id
                headers["X-Content-Type-Options"] = "nosniff"
                headers.setdefault("Cache-Control", "no-store")
                if unread or ambiguous:  # else the server would go on reading for as long as the client sends
                    headers["Connection"] = "close"
            await send(message)

        tracer = self._tracer if is_traced(scope["path"]) else NOTHING
        with (
            structlog.contextvars.bound_contextvars(request_id=request_id),
            tracer.begin("request", "server", parent=request_headers.get(TRACEPARENT), request_id=request_id) as span,
        ):
            try:
                await self._app(scope, receive_body, send_with_headers)
            finally:
                self._finish(scope, status or 500, perf_counter() - started)
                describe(span, scope, status or 500)

    def _finish(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._metrics.finished.labels(method, route, str(status)).inc()
        self._metrics.seconds.labels(method, route).observe(seconds)
        # The path as it was sent, so that nobody writes line breaks into the log; never the query or a header.
        path = scope.get("raw_path", b"").decode("ascii", "replace")[:MAX_PATH_LOGGED]
        (log.info if status < 500 else log.error)(
            "request",
            method=method,
            path=path,
            route=route,
            status=status,
            milliseconds=round(seconds * 1000, 2),
            tenant_id=scope["state"].get("tenant_id"),
        )


def is_traced(path: str) -> bool:
    return not (path in PROBES or path.startswith("/ui/static/") or path.endswith("/events"))


def describe(span: Span, scope: Scope, status: int) -> None:
    """By the route, never by the path: that may hold what a person has typed."""
    method = scope["method"] if scope["method"] in METHODS else "_OTHER"
    route = getattr(scope.get("route"), "path", None)
    span.rename(method if route is None else f"{method} {route}")
    span.set(
        **{"http.request.method": method, "http.route": route, "http.response.status_code": status},
        tenant_id=scope["state"].get("tenant_id"),
    )
    if status >= 500:
        span.fail(str(status))


def accepted_id(values: list[str]) -> str | None:
    """The client's id for the request, if it gave one that is safe to log and to send back."""
    return values[0] if len(values) == 1 and _REQUEST_ID.fullmatch(values[0]) else None


def may_be_long(headers: Headers) -> bool:
    """Whether the request's body has no known end, or more than is worth reading for nothing."""
    length = headers.get("content-length", "0")
    known = length.isascii() and length.isdecimal() and len(length) < 10
    return "transfer-encoding" in headers or not known or int(length) > MAX_DRAINED
