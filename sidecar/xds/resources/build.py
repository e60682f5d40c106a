"""All that Envoy is configured with, of one edge: each resource encoded, and built anew only when it would be another.

Pure but for what it remembers of the last time. A row of which nothing can be built is left out, and named.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, SupportsBytes

from core.hostname import normalize_sni
from core.service import Service
from sidecar.edge.model import BELOW, CLIENT_AUTH, SERVICE, ClientAuth, Edge, cluster_of
from sidecar.xds.configurations import Encoded
from sidecar.xds.resources import clusters, listeners, routes
from sidecar.xds.resources.chains import WILDCARD
from sidecar.xds.resources.connection_manager import HTTP, HTTPS
from sidecar.xds.resources.plan import ListenerPlan, Unbuildable
from sidecar.xds.resources.upstream_tls import identity_of, trust_of
from sidecar.xds.types import CLUSTER, ENDPOINT, LISTENER, ROUTE

Resources = Mapping[str, Mapping[str, Encoded]]

# Names below a wildcard, and below all of them, that Envoy is told: each is 7 to 15 us of its main thread and 0.1 KB at
# each version of the https listener.
MOST_BELOW: Final = 1_000
MOST_BELOW_ALL: Final = 10_000

# What a service could hold that is no cluster's: reported, as what the database should not have let in.
FAULTS: Final = (ValueError, TypeError, KeyError)


@dataclass(frozen=True, slots=True)
class Built:
    """`resources`: by type and name. `left_out`: as of sidecar.edge.model.Edge, (kind, name or id) → why."""

    resources: Resources
    left_out: Mapping[tuple[str, str], str]


class _Kept(NamedTuple):
    of: Hashable
    encoded: Encoded


@dataclass(slots=True)
class Builder:
    plan: ListenerPlan
    _kept: dict[tuple[str, str], _Kept] = field(default_factory=dict)
    _fresh: dict[tuple[str, str], _Kept] = field(default_factory=dict)

    def build(self, edge: Edge) -> Built:
        """Equal edges give equal bytes, whatever came before."""
        left_out: dict[tuple[str, str], str] = {}
        self._fresh = {}
        services: dict[str, Encoded] = {}
        routed: list[Service] = []
        for name, service in sorted(edge.services.items()):
            try:
                services[cluster_of(name)] = self._cluster(service, edge)
                routed.append(service)
            except Unbuildable as error:
                left_out[SERVICE, name] = error.message
            except FAULTS as error:
                left_out[SERVICE, name] = f"no cluster can be built of it: {type(error).__name__}"
        clients = _clients(edge, left_out)
        below = _below(edge, clients, left_out)
        built = {
            CLUSTER: services,
            ENDPOINT: dict[str, Encoded](),
            LISTENER: {
                HTTPS: self._https(clients, below),
                HTTP: self._once(LISTENER, HTTP, 0, lambda: listeners.http(self.plan)),
            },
            ROUTE: {HTTPS: self._routes(routed), HTTP: self._once(ROUTE, HTTP, 0, routes.http)},
        }
        self._kept, self._fresh = self._fresh, {}
        return Built(built, left_out)

    def _cluster(self, service: Service, edge: Edge) -> Encoded:
        trust = identity = None
        if service.tls is not None:
            trust, identity = trust_of(service.tls, edge), identity_of(service.tls, edge)
        return self._once(
            CLUSTER,
            service.name,
            (service, trust, identity),
            lambda: clusters.build(service, trust, identity),
        )

    def _https(self, clients: Mapping[str, ClientAuth], below: tuple[str, ...]) -> Encoded:
        own = tuple((hostname, auth.domain_id, auth.required) for hostname, auth in sorted(clients.items()))

        def build() -> bytes:
            names = [name for name in below if normalize_sni(name) == name]
            return listeners.https(self.plan, clients, names)

        return self._once(LISTENER, HTTPS, (own, below), build)

    def _routes(self, services: list[Service]) -> Encoded:
        timeouts = tuple((one.name, one.request_timeout_ms) for one in services if one.request_timeout_ms)
        return self._once(ROUTE, HTTPS, timeouts, lambda: routes.https(services))

    def _once(self, type_url: str, name: str, of: Hashable, build: Callable[[], SupportsBytes]) -> Encoded:
        """`of`: what it depends on, beside the plan."""
        kept = self._kept.get((type_url, name))
        if kept is None or kept.of != of:
            kept = _Kept(of, Encoded.of(type_url, bytes(build())))
        self._fresh[type_url, name] = kept
        return kept.encoded


def _clients(edge: Edge, left_out: dict[tuple[str, str], str]) -> dict[str, ClientAuth]:
    """By hostname. Without a chain of its own a domain's clients show no certificate, and the check lets none in."""
    clients: dict[str, ClientAuth] = {}
    for domain_id, auth in sorted(edge.client_auth.items()):
        name = auth.hostname.removeprefix(WILDCARD)
        if normalize_sni(name) != name:
            left_out[CLIENT_AUTH, domain_id] = "its hostname can be no server name"
        elif auth.hostname in clients:
            left_out[CLIENT_AUTH, domain_id] = "another domain has its hostname"
        else:
            clients[auth.hostname] = auth
    return clients


def _below(edge: Edge, clients: dict[str, ClientAuth], left_out: dict[tuple[str, str], str]) -> tuple[str, ...]:
    """Names below wildcards that are registered by themselves: other tenants' visitors come by them.

    A wildcard that has too many of them is taken from `clients`: those names are served, and its own clients, who then
    show no certificate, are not let in. Beyond what there may be in all, those with the most names go first.
    """
    names: list[str] = []
    wildcards = [auth for hostname, auth in clients.items() if hostname.startswith(WILDCARD)]
    for auth in sorted(wildcards, key=lambda each: (len(edge.below.get(each.domain_id, ())), each.domain_id)):
        below = edge.below.get(auth.domain_id, ())
        if (BELOW, auth.domain_id) in edge.left_out:
            left_out[CLIENT_AUTH, auth.domain_id] = "the names below it cannot be read"
        elif len(below) > MOST_BELOW or len(names) + len(below) > MOST_BELOW_ALL:
            left_out[CLIENT_AUTH, auth.domain_id] = "too many names below it are registered by themselves"
        else:
            names.extend(below)
            continue
        del clients[auth.hostname]
    return tuple(names)
