"""The secrets of the edge, with and without a key, for whoever answers for them (sidecar.xds.resolver)."""

from __future__ import annotations

from collections.abc import Callable, Collection

from sidecar.certs.identities import IdentityCache, WantedIdentity
from sidecar.certs.secrets import Reader
from sidecar.edge.model import IDENTITY_SECRET, Edge
from sidecar.edge.secrets import Context, ValidationContexts, changed_secrets
from sidecar.edge.table import EdgeTable


class EdgeSecrets:
    """`on_change` is called on the loop, with the names whose secret may be another one, after the edge has changed."""

    def __init__(self, edges: EdgeTable, vault: Reader) -> None:
        self._edges = edges
        self._contexts = ValidationContexts(edges)
        self.identities = IdentityCache(vault)
        self.on_change: Callable[[Collection[str]], None] = lambda names: None
        edges.subscribe(self._changed)

    @property
    def loaded(self) -> bool:
        """False: of no name can be said that it does not exist."""
        return self._edges.current is not None

    def context(self, name: str) -> Context | None:
        """None: there is no such validation context."""
        return self._contexts.get(name)

    def identity(self, name: str) -> WantedIdentity | None:
        """What to fetch under a secret's name; None: there is no such identity."""
        edge = self._edges.current
        if edge is None or not name.startswith(IDENTITY_SECRET):
            return None
        identity = edge.identities.get(name.removeprefix(IDENTITY_SECRET))
        return None if identity is None else WantedIdentity.of(identity)

    def _changed(self, before: Edge | None, now: Edge) -> None:
        if before is not None:
            for name in before.identities.keys() - now.identities.keys():
                self.identities.forget(IDENTITY_SECRET + name)
        self.on_change(changed_secrets(before, now))
