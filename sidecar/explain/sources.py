"""What an explanation is made of, as it needs them. The data path's parts fit as they are; some may not be there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from sidecar.certs.secrets import Known
from sidecar.directory.entry import Entry, PlatformDomain, Unknown
from sidecar.edge.model import Edge


class Holder(Protocol):
    """One stream of an Envoy, as far as one resource goes. `stream`: its number; two may be of one node.

    `version`: what it has agreed to have; None: nothing. `told`: what it was told last. `rejected`: the version of its
    last NACK, unless it has taken another since; `reason` in its own words.
    """

    @property
    def node(self) -> str: ...
    @property
    def stream(self) -> int: ...
    @property
    def version(self) -> str | None: ...
    @property
    def told(self) -> str | None: ...
    @property
    def rejected(self) -> str | None: ...
    @property
    def reason(self) -> str | None: ...


class Clients(Protocol):
    """The discovery streams (sidecar.xds)."""

    def holders(self, type_url: str, name: str) -> Iterable[Holder]:
        """The clients that have the resource, were told of it, or have rejected it."""
        ...


class EdgeTable(Protocol):
    """sidecar.edge.table"""

    @property
    def current(self) -> Edge | None: ...


class Configurations(Protocol):
    """sidecar.xds.resources. `left_out`: (kind, name) → why it could not be built."""

    @property
    def left_out(self) -> Mapping[tuple[str, str], str]: ...


class Certificates(Protocol):
    """sidecar.certs.secrets"""

    def known(self, entry: Entry) -> Known: ...


class Directory(Protocol):
    """sidecar.directory.directory"""

    platform: PlatformDomain

    @property
    def stale(self) -> bool: ...

    def find(self, host: str) -> Entry | Unknown: ...


class Uncounted:
    """The directory for a Policy and a Resolver whose look-ups are nobody's traffic."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    @property
    def stale(self) -> bool:
        return self._directory.stale

    def lookup(self, host: str) -> Entry | Unknown:
        return self._directory.find(host)
