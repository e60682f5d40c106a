"""A tracer as processes have it, and the collector that it sends to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from core.otlp import Otlp
from embedded.collector import Collector, Span, collecting

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@dataclass(frozen=True, slots=True)
class Traced:
    tracer: Otlp
    collector: Collector

    def spans(self) -> Sequence[Span]:
        """All that have ended, in the order in which they began."""
        assert self.tracer._provider.force_flush(5000)
        return sorted(self.collector.spans(), key=lambda span: span.start)


@contextmanager
def traced(ratio: float = 1.0) -> Iterator[Traced]:
    with collecting() as collector:
        tracer = Otlp(collector.url, {}, None, ratio, "nameplate-test", "one")
        try:
            yield Traced(tracer, collector)
        finally:
            tracer.close(1.0)
