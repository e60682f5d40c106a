"""Decisions as finished answers of one protocol: made once where they repeat, and counted.

The answer that lets a host pass is kept with the directory's row that it was made from. It holds as long as the
directory gives that very row for the host: a row is immutable, and one that changed is another object. What it says of
the edge holds until that part of it changes: then none is kept any more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from core.hostname import normalize_host_header
from sidecar.authz import policy
from sidecar.authz.client import Client, Clients
from sidecar.authz.kept import Kept
from sidecar.authz.policy import Names, Pending
from sidecar.authz.refusal import CONSTANT, UNAVAILABLE, Outcome, Refusal
from sidecar.directory.entry import Entry
from sidecar.edge.model import Edge, cluster_of

T = TypeVar("T")

# What is said to the upstream of a client.
Headers = tuple[tuple[str, str], ...]
# Its certificate and its chain (sidecar.authz.client.shown), read only where they are asked for.
Shown = Callable[[], tuple[bytes, bytes]]

# Hosts whose answer is kept, about 0.5 kB each.
KEPT = 65_536
# The same of clients that are known by their certificate, about 1 kB each; and octets of what is said of them.
KEPT_CLIENTS = 16_384
KEPT_OCTETS = 16 * 1024 * 1024


class Edges(policy.Edges, Protocol):
    def subscribe(self, on_change: Callable[[Edge | None, Edge], None]) -> None: ...


class Answers(Generic[T]):
    """`passed`, `refused`: decision → message of the protocol. `finish`: that → what the transport sends.

    Who passes is told with the cluster of its service.
    """

    def __init__(
        self,
        names: Names,
        edges: Edges,
        passed: Callable[[Entry, str, Headers], bytes],
        refused: Callable[[Refusal], bytes],
        finish: Callable[[bytes], T],
        clients: Clients | None = None,
    ) -> None:
        self._lookup = names.lookup
        self._edges = edges
        self._clients = clients or Clients()
        self._encode_passed = passed
        self._encode_refused = refused
        self._finish = finish
        # By the host in normal form, for requests on a connection of that very SNI; oldest out first.
        self.kept: OrderedDict[str, tuple[Entry, T]] = OrderedDict()
        self._told: Kept[tuple[Entry, Client], T] = Kept(KEPT_CLIENTS, KEPT_OCTETS)
        self._constant = {refusal.outcome: finish(refused(refusal)) for refusal in CONSTANT}
        self._counts = dict.fromkeys(Outcome, 0)
        edges.subscribe(self._forget)

    def _forget(self, before: Edge | None, now: Edge) -> None:
        """What is kept depends on these; what stayed as it was is the very same object."""
        if (
            before is None
            or before.by_tenant is not now.by_tenant
            or before.by_domain is not now.by_domain
            or before.client_auth is not now.client_auth
            or before.left_out is not now.left_out
        ):
            self.kept.clear()
            self._told.clear()
        if before is None or before.client_auth is not now.client_auth or before.consumers is not now.consumers:
            self._clients.forget(now)

    def hit(self, host: str, sni: str) -> T | None:
        """The answer that was kept for a request, if it still holds. `host` and `sni` may be anything."""
        kept = self.kept.get(host)
        if kept is None or sni != host or self._lookup(host) is not kept[0]:
            return None
        self._counts[Outcome.OK] += 1
        return kept[1]

    def passed(self, entry: Entry, host_header: str, sni: str, shown: Shown) -> T:
        """A request passes, by the row that was found for its host, if its client does too. `shown`: by the client.

        Kept under the host's normal form, whatever was asked: a connection of that SNI would be told the same, unless
        it depends on the client's certificate.
        """
        edge = self._edges.current
        if edge is None:
            return self.unavailable()
        auth = edge.client_auth.get(entry.domain_id)
        if auth is not None:
            client = self._clients.decide(edge, auth, host_header, sni, *shown())
            if isinstance(client, Refusal):
                return self.refused(client)
            self._counts[Outcome.OK] += 1
            return self._passed_as(edge, entry, client)
        if entry.client_auth:
            return self.unavailable()  # the edge has not read yet what is asked for
        self._counts[Outcome.OK] += 1
        host = normalize_host_header(host_header)
        kept = None if host is None else self.kept.get(host)
        if kept is not None and kept[0] is entry:
            return kept[1]
        answer = self._finish(self._encode_passed(entry, self._cluster(edge, entry), ()))
        if host is not None:
            if len(self.kept) >= KEPT:
                self.kept.popitem(last=False)
            self.kept[host] = (entry, answer)
        return answer

    def _passed_as(self, edge: Edge, entry: Entry, client: Client) -> T:
        """What is found of a client is one object for as long as it holds, so that the answer can be kept under it."""
        told = self._told.get((entry, client))
        if told is not None:
            return told
        answer = self._finish(self._encode_passed(entry, self._cluster(edge, entry), client.headers))
        self._told.keep((entry, client), answer, client.octets, entry.tenant_id)
        return answer

    def _cluster(self, edge: Edge, entry: Entry) -> str:
        return cluster_of(edge.service_of(entry.tenant_id, entry.domain_id))

    def unless_pending(self, decision: Refusal | Pending) -> T | Pending:
        return decision if isinstance(decision, Pending) else self.refused(decision)

    def refused(self, refusal: Refusal) -> T:
        self._counts[refusal.outcome] += 1
        answer = self._constant.get(refusal.outcome)
        return answer if answer is not None else self._finish(self._encode_refused(refusal))

    def unavailable(self) -> T:
        """What is pending could not be loaded."""
        return self.refused(UNAVAILABLE)

    def count(self, outcome: Outcome) -> None:
        """An answer that was made elsewhere."""
        self._counts[outcome] += 1

    def stats(self) -> dict[str, int]:
        """Answers so far, by outcome."""
        return {outcome.value: count for outcome, count in self._counts.items()}
