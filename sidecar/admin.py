"""The sidecar's own HTTP: /livez, /readyz, /metrics and /explain, on uvicorn. Plain, so it belongs on loopback.

/livez says that the event loop turns. /readyz is 200 when the directory can answer (loaded, or restored from a
snapshot) and the sockets are bound, and not while draining; its JSON also says how fresh the answers are.
/explain says what would happen to a host, and why (sidecar.explain).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import uvicorn

from sidecar.explain.explain import Explain, ExplainBusy
from sidecar.explain.question import QuestionError, parse_question
from sidecar.readiness import Readiness

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"
# The Prometheus text exposition format 0.0.4.
METRICS = b"text/plain; version=0.0.4; charset=utf-8"

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Admin:
    """An ASGI application. `readiness` and `metrics` are read on the loop; `metrics` returns what renders the text,
    which is done in a thread, because ten thousand certificates take long enough to hold up checks."""

    def __init__(
        self,
        readiness: Callable[[], Readiness],
        metrics: Callable[[], Callable[[], bytes]],
        explain: Explain | None = None,
    ) -> None:
        self._readiness = readiness
        self._metrics = metrics
        self._explain = explain

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        status, content_type, body = await self._answer(scope["method"], scope["path"], scope["query_string"])
        headers = [
            (b"content-type", content_type),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _answer(self, method: str, path: str, query: bytes) -> tuple[int, bytes, bytes]:
        if method not in {"GET", "HEAD"}:
            return 405, TEXT, b"Only GET and HEAD.\n"
        match path:
            case "/livez":
                return 200, TEXT, b"alive\n"
            case "/readyz":
                readiness = self._readiness()
                return 200 if readiness.ready else 503, JSON, json.dumps(asdict(readiness)).encode() + b"\n"
            case "/metrics":
                return 200, METRICS, await asyncio.to_thread(self._metrics())
            case "/explain" if self._explain is not None:
                return await self._explained(self._explain, query)
            case _:
                return 404, TEXT, b"There are /livez, /readyz, /metrics and /explain.\n"

    async def _explained(self, explain: Explain, query: bytes) -> tuple[int, bytes, bytes]:
        try:
            status, said = 200, await explain.answer(parse_question(query))
        except (QuestionError, ExplainBusy) as error:
            status = 400 if isinstance(error, QuestionError) else 503
            said = {"code": error.code, "message": error.message}
        return status, JSON, json.dumps(said).encode() + b"\n"


class AdminServer(uvicorn.Server):
    """uvicorn without its own signal handling: the process drains in its own order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    @classmethod
    def of(cls, app: Admin) -> AdminServer:
        return cls(
            uvicorn.Config(
                app,
                lifespan="off",
                http="h11",  # bounds the head of a request
                ws="none",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=1,
            )
        )
