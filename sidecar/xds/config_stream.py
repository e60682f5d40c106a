"""What a stream does for one type of configurations, whichever the variant."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from sidecar.xds.configurations import Encoded
from sidecar.xds.refusal import Refusal
from sidecar.xds.subscription import Received, Rejection


class Configurations(Protocol):
    """sidecar.xds.configurations"""

    def resources(self, type_url: str) -> Mapping[str, Encoded] | None: ...

    def version(self, type_url: str) -> str: ...


class ConfigStream(Protocol):
    """What a stream does for one type: `receive` and `changed` are synchronous and cheap, the writes have one caller.

    `backlog`: there is something to write, now or later. `waiting`: it may be written now. `busy`: it is not yet all
    written and acknowledged. `leaving`: something has gone and is not to be taken from the client before what may
    refer to it has been seen to. `clings`: the client has rejected something and uses an earlier version of it.
    `due_at`: when to write all the same, by the loop's clock.
    """

    type_url: str
    rejected: dict[str, Refusal]

    @property
    def backlog(self) -> bool: ...
    @property
    def waiting(self) -> bool: ...
    @property
    def busy(self) -> bool: ...
    @property
    def leaving(self) -> bool: ...
    @property
    def clings(self) -> bool: ...
    @property
    def due_at(self) -> float | None: ...
    def receive(self, received: Received) -> Rejection | None:
        """Returns what was rejected, as soon as it is known which resource it is."""
        ...

    def changed(self, names: Collection[str]) -> None: ...
    def told(self, name: str) -> str | None: ...
    def agreed(self, name: str) -> str | None: ...
    async def write(self) -> None: ...
    async def write_leaving(self) -> None: ...
    def keep_leaving(self) -> None:
        """What has gone stays with the client for now. Nobody is to wait for that."""
        ...
