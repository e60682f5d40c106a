"""What streams give out of clusters, endpoints, listeners and routes: in memory, each resource encoded once.

Who builds them puts whole sets in; every stream is told once which names are others now, so that a change costs what
has changed, whatever the number of streams and names.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from types import MappingProxyType

from sidecar.wire.discovery_pb2 import Any


@dataclass(frozen=True, slots=True)
class Encoded:
    """`resource`: the message as an encoded Any, shared by every response. `version`: changes when it does."""

    version: str
    resource: bytes = field(repr=False)

    @classmethod
    def of(cls, type_url: str, message: bytes) -> Encoded:
        """`message`: encoded, without the Any."""
        return cls(sha256(message).hexdigest()[:16], Any(type_url=type_url, value=message).SerializeToString())


class ConfigurationTable:
    """To be used on one loop. `on_change` is the streams': by type, the names that are others now."""

    def __init__(self) -> None:
        self._types: dict[str, dict[str, Encoded]] = {}
        self._digests: dict[str, int] = {}
        self._said: dict[str, str] = {}
        self.held = False
        self.on_change: Callable[[Mapping[str, Collection[str]]], None] = lambda changed: None

    def resources(self, type_url: str) -> Mapping[str, Encoded] | None:
        """A live view. None: not known yet, or nothing of ours, so that nothing may be said of it."""
        resources = self._types.get(type_url)
        return None if resources is None else MappingProxyType(resources)

    def version(self, type_url: str) -> str:
        """Of the type as a whole; the same for equal sets, in whatever way they came about."""
        return self._said.get(type_url) or f"{self._digests.get(type_url, 0):016x}"

    def hold(self) -> None:
        """What is here is being built anew: nobody may be said to have it all, until `replace`."""
        self.held = True

    def replace(
        self, resources: Mapping[str, Mapping[str, Encoded]], versions: Mapping[str, str] | None = None
    ) -> None:
        """By type, all that there is of it; types that are not named stay. One change, however many types it touches.

        `versions`: of types as a whole, for who numbers them.
        """
        self.held = False
        changed = {type_url: self._replace(type_url, wanted) for type_url, wanted in resources.items()}
        self._said.update(versions or {})
        self.on_change(changed)

    def _replace(self, type_url: str, wanted: Mapping[str, Encoded]) -> list[str]:
        known = self._types.setdefault(type_url, {})
        gone = [name for name in known if name not in wanted]
        for name in gone:
            self._count(type_url, name, known.pop(name))
        other = [
            name
            for name, encoded in wanted.items()
            if (before := known.get(name)) is None or before.version != encoded.version
        ]
        for name in other:
            self._count(type_url, name, *filter(None, (known.get(name), wanted[name])))
            known[name] = wanted[name]
        return [*other, *gone]

    def _count(self, type_url: str, name: str, *resources: Encoded) -> None:
        """A sum without carry: what comes and what goes both cost one term, and the order does not matter."""
        digest = self._digests.get(type_url, 0)
        for encoded in resources:
            digest ^= int.from_bytes(sha256(f"{name}\0{encoded.version}".encode()).digest()[:8], "big")
        self._digests[type_url] = digest
