"""A receiver of traces: OTLP over HTTP, as a collector speaks it, in a thread of the test's own process.

Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp-request
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from embedded.ports import LOOPBACK

PATH = "/v1/traces"
KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")


@dataclass(frozen=True, slots=True)
class Span:
    """`start`, `end`: nanoseconds since 1970. `error`: why it failed; None: it did not."""

    service: str
    name: str
    trace_id: str
    id: str
    parent_id: str
    kind: str
    start: int
    end: int
    attributes: Mapping[str, Any]
    error: str | None


@dataclass(slots=True)
class Collector:
    """`status`: what it answers, other than 200. `headers`: of each request; `bodies`: unpacked."""

    url: str
    status: int = 200
    headers: list[Mapping[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    _spans: list[Span] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def trace(self, trace_id: str) -> Sequence[Span]:
        """What has come of it so far, in the order in which it began."""
        with self._lock:
            return sorted((span for span in self._spans if span.trace_id == trace_id), key=lambda span: span.start)

    def spans(self) -> Sequence[Span]:
        with self._lock:
            return list(self._spans)

    def take(self, headers: Mapping[str, str], body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self._lock:
            self.headers.append(headers)
            self.bodies.append(body)
            for part in request.resource_spans:
                service = str(_attributes(part.resource.attributes)["service.name"])
                for scope in part.scope_spans:
                    self._spans.extend(_span(service, one) for one in scope.spans)


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a free port, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            status = collector.status if self.path == PATH else 404
            if status == 200:
                collector.take({name.lower(): value for name, value in self.headers.items()}, body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    server.daemon_threads = True
    collector = Collector(f"http://{LOOPBACK}:{server.server_port}")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def tree(spans: Sequence[Span]) -> str:
    """A trace as text: what was part of what, since when and for how long, in milliseconds."""
    if not spans:
        return ""
    known, first = {span.id for span in spans}, min(span.start for span in spans)
    lines = []

    def add(span: Span, depth: int) -> None:
        since, lasted = (span.start - first) / 1e6, (span.end - span.start) / 1e6
        process = span.service.removeprefix("nameplate-")
        lines.append(f"{since:8.1f} {lasted:8.1f}  {process:8}{'  ' * depth}{span.name}{_shown(span)}")
        for child in spans:
            if child.parent_id == span.id:
                add(child, depth + 1)

    for span in spans:
        if span.parent_id not in known:
            add(span, 0)
    return "\n".join(lines) + "\n"


def _shown(span: Span) -> str:
    shown = [span.attributes[name] for name in SHOWN if name in span.attributes]
    return f" ({', '.join(map(str, shown))})" if shown else ""


SHOWN = ("nameplate.event", "nameplate.verdict", "nameplate.path")


def _span(service: str, span: Any) -> Span:
    attributes = _attributes(span.attributes)
    return Span(
        service,
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        KINDS[span.kind],
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        attributes,
        str(attributes.get("error.type", "unknown")) if span.status.code == 2 else None,
    )


def _attributes(pairs: Any) -> Mapping[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return None if kind is None else getattr(value, kind)
