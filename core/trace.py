"""Spans of what is done, as far as somebody wants them (docs/traces.md). This file loads no library for it.

A process has a Tracer, and gives it to what begins a span: requests, jobs, deliveries, changes of the feed. Whatever
is done inside of one asks `span` for its own, and has it without being given anything. Where no endpoint is set nothing
ever begins, and `span` costs a look at a context variable.

What is begun elsewhere goes on from its `traceparent` (https://www.w3.org/TR/trace-context/#traceparent-header).
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Literal, Protocol, TypeAlias

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Value: TypeAlias = str | int | float | bool

TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Span(Protocol):
    """`traceparent`: for what goes on elsewhere; None, as `trace_id`, where nobody records it."""

    @property
    def traceparent(self) -> str | None: ...
    @property
    def trace_id(self) -> str | None: ...

    def rename(self, name: str) -> None: ...

    def set(self, **attributes: Value | None) -> None:
        """Names without a dot are ours (`route` is sent as nameplate.route); what is None is left out.

        Never what is secret; what looks so is not sent.
        """
        ...

    def fail(self, code: str) -> None:
        """It came to no good end, for this reason."""
        ...

    def child(self, name: str, kind: Kind, attributes: dict[str, Value | None]) -> AbstractContextManager[Span]: ...


class Tracer(Protocol):
    def begin(
        self,
        name: str,
        kind: Kind,
        *,
        parent: str | None = None,
        at: datetime | None = None,
        **attributes: Value | None,
    ) -> AbstractContextManager[Span]:
        """`parent`: a traceparent; one that cannot be read is passed over. `at`: when it began, if not now."""
        ...

    def close(self, seconds: float) -> None:
        """Send what was not sent yet, for so long at most."""
        ...


class Nothing:
    """A span that nobody records, the tracer of a process without an endpoint, and their context managers."""

    traceparent: str | None = None
    trace_id: str | None = None

    def __enter__(self) -> Nothing:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def rename(self, name: str) -> None:
        pass

    def set(self, **attributes: Value | None) -> None:
        pass

    def fail(self, code: str) -> None:
        pass

    def child(self, _name: str, _kind: Kind, _attributes: dict[str, Value | None]) -> Nothing:
        return self

    def begin(self, name: str, kind: Kind, **_arguments: Any) -> Nothing:
        return self

    def close(self, seconds: float) -> None:
        pass


NOTHING = Nothing()
CURRENT: ContextVar[Span] = ContextVar("nameplate_span", default=NOTHING)


def span(name: str, kind: Kind = "internal", **attributes: Value | None) -> AbstractContextManager[Span]:
    """A part of what is being done, if that is recorded."""
    current = CURRENT.get()
    return NOTHING if current is NOTHING else current.child(name, kind, attributes)


def traceparent() -> str | None:
    """Of what is being done."""
    return CURRENT.get().traceparent


def add_trace_id(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """For structlog: a line that is written inside a trace says in which."""
    trace_id = CURRENT.get().trace_id
    if trace_id is not None:
        event["trace_id"] = trace_id
    return event
