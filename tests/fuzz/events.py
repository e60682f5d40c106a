"""Events in the one form that does not depend on how the bytes were split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sidecar.http2 import DATA, REQUEST, WHOLE


def apart(events: Iterable[Any]) -> Iterator[Any]:
    """Each WHOLE as the two that it stands for."""
    for event in events:
        if event[0] == WHOLE:
            _, stream_id, request, payload = event
            yield REQUEST, stream_id, request, False
            yield DATA, stream_id, payload, True
        else:
            yield event
