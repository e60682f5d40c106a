"""The clients that are connected: how far each has followed the changes, and what it has or rejects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from sidecar.xds.acknowledgements import NEVER
from sidecar.xds.aggregated import DiscoveryStream
from sidecar.xds.refusal import Refusal
from sidecar.xds.types import CLUSTER, SECRET


@dataclass(frozen=True, slots=True)
class Holder:
    """What a client has of one resource. `version`: by its own word; `told`: by our last word; None: nothing.

    `stream`: a number of its own, as long as the sidecar lives. `node`: the client's name for itself, which others may
    have too. `rejected`: the version that its last word was a NACK of, `reason`: its words.
    """

    stream: int
    node: str
    version: str | None
    told: str | None
    rejected: str | None
    reason: str | None


@dataclass(slots=True)
class Open:
    """`connection`: the same for all streams of a client that opens one for each type, or each secret."""

    number: int
    connection: object
    acknowledged: int = NEVER
    without: int = 0  # secrets that it has rejected, or could not be given


class Envoys:
    """`on_progress`: called when a client has moved on, come or gone. All on the loop."""

    def __init__(self) -> None:
        self._streams: dict[DiscoveryStream, Open] = {}
        self._numbers = 0
        self._marked = NEVER
        self._held: int | None = None
        self.holding: Callable[[], bool] = lambda: False
        self.on_progress: Callable[[], None] = lambda: None

    def __iter__(self) -> Iterator[DiscoveryStream]:
        """Those whose streams are open now."""
        return iter(tuple(self._streams))

    def __len__(self) -> int:
        return len(self._streams)

    # --- the streams' own

    def add(self, stream: DiscoveryStream, connection: object) -> None:
        self._numbers += 1
        self._streams[stream] = Open(self._numbers, connection)
        stream.acknowledgements.mark(self._marked)

    def remove(self, stream: DiscoveryStream) -> None:
        del self._streams[stream]
        self.on_progress()

    def moved(self, stream: DiscoveryStream) -> None:
        """It has read or written."""
        known = self._streams[stream]
        acknowledged = stream.acknowledgements.acknowledged if stream.requests else NEVER
        without = len(stream.rejected(SECRET)) + len(stream.failing)
        if known.acknowledged != acknowledged or known.without != without:
            known.acknowledged, known.without = acknowledged, without
            self.on_progress()

    # --- how far they are

    def mark(self, mark: int) -> None:
        """A number that grows: everybody was told of all changes before it. Unless that is still being built."""
        if self.holding():
            self._held = mark
            return
        self._held, self._marked = None, mark
        for stream in self._streams:
            stream.acknowledgements.mark(mark)
        for stream in tuple(self._streams):
            self.moved(stream)

    def release(self) -> None:
        """What was being built is there, and everybody was told of it."""
        if self._held is not None:
            self.mark(self._held)

    def acknowledged(self) -> tuple[int, ...]:
        """Of each client, the highest mark before which it has acknowledged, or rejected, all that concerned it.

        A client is a connection; the slowest of its streams counts. A stream that has asked nothing yet does not.
        """
        slowest: dict[object, int] = {}
        for stream, known in self._streams.items():
            if stream.requests:
                acknowledged = stream.acknowledgements.acknowledged
                slowest[known.connection] = min(acknowledged, slowest.get(known.connection, acknowledged))
        return tuple(slowest.values())

    def behind(self) -> int:
        """How many clients have not yet answered all that they are to know."""
        late = {known.connection for stream, known in self._streams.items() if stream.acknowledgements.owing}
        return len(late)

    # --- what they have

    def rejections(self) -> dict[str, int]:
        """Secrets that clients have rejected, or could not be given, by name as asked: how many clients."""
        without = ({*stream.rejected(SECRET), *stream.failing} for stream in self._streams)
        return dict(Counter(name for names in without for name in names))

    def rejected(self, type_url: str) -> dict[str, Refusal]:
        """By name; of several clients that reject the same, one."""
        merged: dict[str, Refusal] = {}
        for stream in self._streams:
            merged.update(stream.rejected(type_url))
        return merged

    def holders(self, type_url: str, name: str) -> list[Holder]:
        """The clients that have it, were told of it, or have rejected it."""
        found: list[Holder] = []
        for stream, known in self._streams.items():
            version, told = stream.agreed(type_url, name), stream.told(type_url, name)
            refusal = stream.rejected(type_url).get(name)
            if version or told or refusal:
                rejected, reason = (refusal.version, refusal.reason) if refusal else (None, None)
                found.append(Holder(known.number, stream.node, version, told, rejected, reason))
        return found

    def lacks_cluster(self, name: str) -> bool:
        """Whether a client that takes clusters from here has not acknowledged this one."""
        return any(stream.asks(CLUSTER) and stream.agreed(CLUSTER, name) is None for stream in self._streams)

    def changed(self, changed: Mapping[str, Collection[str]]) -> None:
        """By type, the configurations that are others now."""
        for stream in self._streams:
            stream.changed(changed)
        self.release()
