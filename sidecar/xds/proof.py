"""What the discovery streams prove: how far each Envoy has followed the changes, and whose certificate it rejects."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice
from typing import Final, Protocol

from core.feed import REJECTED_LIMIT, Rejected, digest_of
from core.hostname import normalize_sni
from sidecar.directory.entry import Entry, Unknown
from sidecar.edge.model import Edge
from sidecar.xds.types import CONFIGURATIONS

CLIENT_CA: Final = "client-ca/"
# Rejected names that are told of one by one, spellings included; of more, core.feed has no room to tell.
LOOKED_AT: Final = 2 * REJECTED_LIMIT


class Streams(Protocol):
    """sidecar.xds.service"""

    on_progress: Callable[[], None]

    def mark(self, revision: int) -> None: ...

    def acknowledged(self) -> Sequence[int]: ...

    def rejections(self) -> Mapping[str, int]:
        """Names of secrets, as asked, whose last answer was a rejection → clients."""
        ...

    def rejected(self, type_url: str) -> Collection[str]:
        """The resources of a type that some client rejects."""
        ...


class Directory(Protocol):
    def find(self, host: str) -> Entry | Unknown: ...


class EdgeTable(Protocol):
    @property
    def current(self) -> Edge | None: ...


class Proof:
    """sidecar.directory.reached.Envoys, of the streams."""

    def __init__(self, streams: Streams, directory: Directory, edge: EdgeTable) -> None:
        self._streams = streams
        self._directory = directory
        self._edge = edge

    def watch(self, on_progress: Callable[[], None]) -> None:
        self._streams.on_progress = on_progress

    def mark(self, revision: int) -> None:
        self._streams.mark(revision)

    def acknowledged(self) -> Sequence[int]:
        return self._streams.acknowledged()

    def rejected(self) -> Rejected:
        """By the row's hostname: a wildcard's certificate is asked for under many names, each perhaps in spellings.

        What is no domain's own, a listener above all, concerns them all.
        """
        by_digest: dict[str, int] = {}
        others = int(any(self._streams.rejected(type_url) for type_url in CONFIGURATIONS))
        rejections = self._streams.rejections()
        if len(rejections) > LOOKED_AT:
            others = max(others, *rejections.values())
        for name, clients in islice(rejections.items(), LOOKED_AT):
            hostname = self._hostname(name)
            if hostname is None:
                others = max(others, clients)
            else:
                digest = digest_of(hostname)
                by_digest[digest] = max(clients, by_digest.get(digest, 0))
        return Rejected(by_digest, others)

    def _hostname(self, name: str) -> str | None:
        """Of the domain that a secret is of; None: of none, or of all."""
        if name.startswith(CLIENT_CA):
            edge = self._edge.current
            wanted = None if edge is None else edge.client_auth.get(name.removeprefix(CLIENT_CA))
            return name if wanted is None else wanted.hostname
        host = normalize_sni(name)
        found = None if host is None else self._directory.find(host)
        if isinstance(found, Entry):
            return found.hostname
        return host  # nobody's any more; "default", and what upstreams are shown, are no hostnames
