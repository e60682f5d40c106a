"""Spans by OpenTelemetry's library, sent by OTLP over HTTP. Imported only where an endpoint is set.

Nothing here can harm: what is recorded waits in a queue of QUEUE spans, of which the oldest go first, and is sent from
a thread of its own. A collector that is away is said once, and once when it is back.
Source: https://opentelemetry.io/docs/specs/otlp/
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import TypeAlias

import requests
import structlog
from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from core.errors import NameplateError
from core.log import HIDDEN, SECRET_NAMES, SECRET_TEXT
from core.trace import CURRENT, NOTHING, TRACEPARENT, Kind, Span, Value

QUEUE = 4096  # spans; about 3 KB each
BATCH = 128  # spans: 2 ms of the interpreter, which the sidecar's checks need too
DELAY = 1000.0  # milliseconds between two sendings
TIMEOUT = 5.0  # seconds for a sending with its retries
MAX_TEXT = 512  # characters of an attribute

KINDS: Mapping[Kind, api.SpanKind] = {
    "internal": api.SpanKind.INTERNAL,
    "server": api.SpanKind.SERVER,
    "client": api.SpanKind.CLIENT,
    "producer": api.SpanKind.PRODUCER,
    "consumer": api.SpanKind.CONSUMER,
}
Attributes: TypeAlias = Mapping[str, Value | None]

log = structlog.get_logger(__name__)


class Exporter(SpanExporter):
    """Says it once when spans cannot be sent, in place of a line for each try."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._inner.export(spans)
        failing = result is not SpanExportResult.SUCCESS
        if failing and not self._failing:
            log.warning("traces_not_sent", spans=len(spans))
        elif self._failing and not failing:
            log.info("traces_sent_again")
        self._failing = failing
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()


class Otlp:
    """core.trace.Tracer. `endpoint`: the collector's base URL. `service`, `instance`: who this is. `ratio`: of traces.

    Whether a trace is recorded follows from its id, so that processes with the same ratio record the same traces.
    """

    def __init__(
        self, endpoint: str, headers: Mapping[str, str], ca_file: str | None, ratio: float, service: str, instance: str
    ) -> None:
        # Its own lines quote what a collector answered.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        session = requests.Session()
        # Neither a proxy nor a CA bundle from the environment: the settings say what is used.
        session.trust_env = False
        sender = OTLPSpanExporter(
            endpoint=f"{endpoint.rstrip('/')}/v1/traces",
            certificate_file=ca_file,
            headers=dict(headers),
            timeout=TIMEOUT,
            compression=Compression.Gzip,
            session=session,
        )
        by_id = TraceIdRatioBased(ratio)
        self._provider = TracerProvider(
            sampler=ParentBased(root=by_id, remote_parent_sampled=by_id),
            resource=Resource({"service.name": service, "service.instance.id": instance}),
            shutdown_on_exit=False,
            span_limits=SpanLimits(max_span_attribute_length=MAX_TEXT),
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                Exporter(sender), max_queue_size=QUEUE, schedule_delay_millis=DELAY, max_export_batch_size=BATCH
            )
        )
        self._tracer = self._provider.get_tracer("nameplate")

    def begin(
        self,
        name: str,
        kind: Kind,
        *,
        parent: str | None = None,
        at: datetime | None = None,
        **attributes: Value | None,
    ) -> AbstractContextManager[Span]:
        context = Context()
        if (remote := read(parent)) is not None:
            context = api.set_span_in_context(api.NonRecordingSpan(remote), context)
        return entered(self._tracer, context, name, kind, attributes, at)

    def close(self, seconds: float) -> None:
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(seconds)


class Recorded:
    """A span that is recorded, as core.trace.Span."""

    def __init__(self, tracer: api.Tracer, inner: api.Span) -> None:
        self._tracer = tracer
        self._inner = inner
        context = inner.get_span_context()
        self.trace_id: str | None = f"{context.trace_id:032x}"
        self._failed = False
        self.traceparent: str | None = f"00-{context.trace_id:032x}-{context.span_id:016x}-01"

    def rename(self, name: str) -> None:
        self._inner.update_name(name)

    def set(self, **attributes: Value | None) -> None:
        self._inner.set_attributes(named(attributes))

    def fail(self, code: str) -> None:
        """The first reason is the one that counts."""
        if self._failed:
            return
        self._failed = True
        self._inner.set_attribute("error.type", code)
        self._inner.set_status(api.StatusCode.ERROR)

    def child(self, name: str, kind: Kind, attributes: dict[str, Value | None]) -> AbstractContextManager[Span]:
        context = api.set_span_in_context(self._inner, Context())
        return entered(self._tracer, context, name, kind, attributes, None)


@contextmanager
def entered(
    tracer: api.Tracer, context: Context, name: str, kind: Kind, attributes: Attributes, at: datetime | None
) -> Iterator[Span]:
    """The current span until its end. What is raised in it is named, never quoted."""
    started = None if at is None else int(at.timestamp() * 1e9)
    inner = tracer.start_span(name, context, KINDS[kind], named(attributes), start_time=started)
    span: Span = Recorded(tracer, inner) if inner.is_recording() else NOTHING
    token = CURRENT.set(span)
    try:
        yield span
    except asyncio.CancelledError:
        span.fail("cancelled")
        raise
    except BaseException as error:
        span.fail(error.code if isinstance(error, NameplateError) else type(error).__name__)
        raise
    finally:
        CURRENT.reset(token)
        inner.end()


def read(traceparent: str | None) -> api.SpanContext | None:
    """None for what is no traceparent of the version that is known."""
    if traceparent is None or TRACEPARENT.fullmatch(traceparent) is None:
        return None
    _, trace_id, span_id, flags = traceparent.split("-")
    return api.SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=api.TraceFlags(int(flags, 16))
    )


def named(attributes: Attributes) -> dict[str, Value]:
    return {
        name if "." in name else f"nameplate.{name}": harmless(name, value)
        for name, value in attributes.items()
        if value is not None
    }


def harmless(name: str, value: Value) -> Value:
    """As in the log: what review might forget is not sent."""
    if SECRET_NAMES.search(name):
        return HIDDEN
    return SECRET_TEXT.sub(HIDDEN, value) if isinstance(value, str) else value
