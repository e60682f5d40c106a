"""One ext_authz check: the bytes of a CheckRequest in, the finished CheckResponse out, or what must be loaded first.

The same RPC is called by two filters of Envoy, told apart by what they send:
- the HTTP filter, for each request: always `attributes.request.http`; and, on the plain listener, `nameplate.listener`
  among the context extensions (any value), with a `tls_session` that has no SNI;
- the network filter, for each connection: never `attributes.request`.

It never raises on a request, whatever its bytes: one that cannot be read, or that neither filter sends, is refused
(403); one without `tls_session` and without the extension means that Envoy is configured wrongly (421).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from functools import partial
from typing import Generic, TypeVar

from google.protobuf.message import DecodeError

from sidecar.authz import refusal, replies
from sidecar.authz.answers import Answers, Edges
from sidecar.authz.client import Clients, shown
from sidecar.authz.policy import NOTHING, Names, Pending, Policy, Tokens
from sidecar.authz.refusal import Outcome
from sidecar.directory.entry import Entry
from sidecar.edge.model import cluster_of
from sidecar.wire.check_pb2 import CheckRequest

LISTENER = "nameplate.listener"

_parse = CheckRequest.FromString

T = TypeVar("T")


class Checker(Generic[T]):
    """`finish`: the bytes of a CheckResponse → what the transport sends."""

    def __init__(
        self,
        names: Names,
        tokens: Tokens,
        edges: Edges,
        finish: Callable[[bytes], T],
        clients: Clients | None = None,
    ) -> None:
        self._policy = Policy(names, tokens, edges)
        self._edges = edges
        self._answers = Answers(names, edges, replies.passed, replies.denied, finish, clients)
        self._finish = finish
        # What Answers.hit does, without the call: for the path that nearly every check takes.
        self._kept = self._answers.kept
        self._lookup = names.lookup
        self._hits = 0

    def check(self, request: bytes, absent: Set[Pending] = NOTHING) -> T | Pending:
        """`absent`: what a load has just found not to exist."""
        try:
            attributes = _parse(request).attributes
        except DecodeError:
            return self._answers.refused(refusal.UNREADABLE)
        host = attributes.request.http.host
        kept = self._kept.get(host)
        if kept is not None and attributes.tls_session.sni == host and self._lookup(host) is kept[0]:
            self._hits += 1
            return kept[1]
        return self._decide(attributes, absent)

    def unavailable(self) -> T:
        """The answer when what is pending could not be loaded."""
        return self._answers.unavailable()

    def stats(self) -> Mapping[str, int]:
        """Checks answered so far, by outcome."""
        counts = self._answers.stats()
        counts[Outcome.OK.value] += self._hits
        return counts

    def _decide(self, attributes: CheckRequest.Attributes, absent: Set[Pending]) -> T | Pending:
        sni = attributes.tls_session.sni
        if not attributes.HasField("request"):
            decision = self._policy.connection(sni, absent)
            if isinstance(decision, Entry):
                return self._connection_passed(decision)
            return self._answers.unless_pending(decision)
        if not attributes.request.HasField("http"):
            return self._answers.refused(refusal.UNREADABLE)
        if not sni and LISTENER in attributes.context_extensions:
            http = attributes.request.http
            return self._answers.unless_pending(self._policy.plain(http.host, http.path, absent))
        if not attributes.HasField("tls_session"):
            return self._answers.refused(refusal.MISDIRECTED)
        host = attributes.request.http.host
        decision = self._policy.secure(host, sni, absent)
        if isinstance(decision, Entry):
            return self._answers.passed(decision, host, sni, partial(shown, attributes))
        return self._answers.unless_pending(decision)

    def _connection_passed(self, entry: Entry) -> T:
        edge = self._edges.current
        if edge is None:
            return self._answers.refused(refusal.CONNECTION_REFUSED)
        self._answers.count(Outcome.CONNECTION_OK)
        cluster = cluster_of(edge.service_of(entry.tenant_id, entry.domain_id))
        return self._finish(replies.connection_passed(entry, cluster))
