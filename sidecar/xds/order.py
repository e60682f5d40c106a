"""In which order one stream is told of several types: make before break.

XDS#eventual-consistency-considerations: clusters, endpoints, listeners, routes; clusters and endpoints that have gone
are taken away when nothing refers to them any more. That the client has seen to what refers to them it says by its
acknowledgements, which are waited for, but not for ever. As long as it rejects what may refer to them, and so uses an
earlier version, they stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from sidecar.xds.config_stream import ConfigStream
from sidecar.xds.patience import Patience
from sidecar.xds.types import CLUSTER, ENDPOINT, LISTENER, ROUTE

# What may refer to resources of a type, by way of others too.
REFERRING: Final = {CLUSTER: frozenset({LISTENER, ROUTE}), ENDPOINT: frozenset({CLUSTER, LISTENER, ROUTE})}


class Order:
    """`streams`: of one client, in the order of sidecar.xds.types.ORDER; those that it asked for so far."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.streams: list[ConfigStream] = []
        self._patience = Patience(clock)

    def writable(self) -> Iterator[ConfigStream]:
        """One after the other, as long as nothing before it is left to be written."""
        for stream in self.streams:
            yield stream
            if stream.backlog:
                return

    @property
    def waiting(self) -> bool:
        """There is something that may be written now."""
        return any(stream.waiting for stream in self.writable())

    @property
    def due_at(self) -> float | None:
        """When to write all the same, by the loop's clock."""
        times = (self._patience.until, *(stream.due_at for stream in self.streams))
        return min((at for at in times if at is not None), default=None)

    def leaving(self) -> Sequence[ConfigStream]:
        """Those that may take away what has gone, now; to be asked after all writing."""
        leaving = [stream for stream in self.streams if stream.leaving]
        blocked = bool(leaving) and any(stream.busy for stream in self.streams)
        if blocked and not self._patience.exhausted(blocked=True):
            return ()
        self._patience.exhausted(blocked=False)
        clinging = {stream.type_url for stream in self.streams if stream.clings}
        kept = [stream for stream in leaving if clinging & REFERRING[stream.type_url]]
        for stream in kept:
            stream.keep_leaving()
        return [stream for stream in leaving if stream not in kept]
