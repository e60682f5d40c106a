"""Who must be told when a hostname changes, or a secret of the edge: subscribed names by their normal form and parent.

So a change costs what it affects, whatever the number of streams and names.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

from core.hostname import normalize_sni
from sidecar.edge.secrets import is_edge_secret

S = TypeVar("S")


class Index(Generic[S]):
    """`S`: a stream, anything hashable. Other names are not kept: no change affects them."""

    def __init__(self) -> None:
        # A tuple, because nearly always one stream asks for a name in one spelling.
        self._asks: dict[str, tuple[tuple[S, str], ...]] = {}
        self._children: dict[str, set[str]] = {}

    def __len__(self) -> int:
        """Hostnames, however often they are asked for."""
        return len(self._asks)

    def add(self, stream: S, name: str) -> None:
        """`name`: as asked. Nothing happens when it is there already."""
        host = _normal(name)
        if host is None:
            return
        asks = self._asks.get(host, ())
        if not asks:
            self._children.setdefault(_parent(host), set()).add(host)
        if (stream, name) not in asks:
            self._asks[host] = (*asks, (stream, name))

    def discard(self, stream: S, name: str) -> None:
        # A key is its own normal form.
        host = name if name in self._asks else _normal(name)
        if host is None or host not in self._asks:
            return
        asks = self._asks[host]
        if len(asks) > 1 or asks[0] != (stream, name):
            self._asks[host] = tuple(ask for ask in asks if ask != (stream, name))
            return
        del self._asks[host]
        children = self._children[_parent(host)]
        children.discard(host)
        if not children:
            del self._children[_parent(host)]

    def discard_all(self, stream: S, names: Iterable[str]) -> None:
        for name in names:
            self.discard(stream, name)

    def affected(self, hostnames: Iterable[str]) -> dict[S, list[str]]:
        """The names, as asked, whose answer may change with these rows; `*.example.com` means its one-label names."""
        found: dict[S, list[str]] = {}
        for hostname in hostnames:
            hosts = self._children.get(hostname[2:], ()) if hostname.startswith("*.") else (hostname,)
            for host in hosts:
                for stream, name in self._asks.get(host, ()):
                    found.setdefault(stream, []).append(name)
        return found


def _normal(name: str) -> str | None:
    return name if is_edge_secret(name) else normalize_sni(name)


def _parent(host: str) -> str:
    return host.partition(".")[2]
