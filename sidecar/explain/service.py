"""Which upstream service a host's requests go to, by whose choice, and whether Envoy has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from core.service import DEFAULT, SYSTEM, Service, UpstreamTls
from core.trust import TrustBundle, TrustError
from sidecar.directory.entry import Entry
from sidecar.edge.model import IDENTITY, SERVICE, TRUST, Edge, cluster_of
from sidecar.explain.certificate import moment
from sidecar.explain.holders import holders_of
from sidecar.explain.sources import Clients, Configurations, EdgeTable
from sidecar.explain.upstream import examine
from sidecar.xds.types import CLUSTER, LISTENER

HTTPS: Final = "https"  # the listener that every Envoy has which is configured from here


class ServiceSection:
    """`table`: as checks are told of it. `to_come`: as the database has it."""

    def __init__(self, table: EdgeTable, to_come: EdgeTable, configurations: Configurations, clients: Clients) -> None:
        self._table = table
        self._to_come = to_come
        self._configurations = configurations
        self._clients = clients

    def describe(self, entry: Entry) -> dict[str, Any] | None:
        """None: nothing is loaded yet.

        `in_force`: an Envoy takes its clusters from here; one with a configuration of its own has its own upstreams.
        `next`: the service that it goes to as soon as all Envoys have that, if it is another one.
        """
        edge = self._table.current
        if edge is None:
            return None
        name = edge.service_of(entry.tenant_id, entry.domain_id)
        cluster = cluster_of(name)
        holders = holders_of(self._clients, CLUSTER, cluster)
        state, reason = self._state(edge, name, holders)
        section: dict[str, Any] = {
            "name": name,
            "cluster": cluster,
            "from": _chosen_by(edge, entry),
            "state": state,
            "reason": reason,
            "next": self._next(entry, name),
            "in_force": bool(holders_of(self._clients, LISTENER, HTTPS)),
        }
        if (service := edge.services.get(name)) is not None:
            section["addresses"] = [f"{one.host}:{one.port}" for one in service.addresses]
            section["tls"] = None if service.tls is None else _tls(service.tls, edge)
        return section | {"envoys": holders}

    async def examine(self, entry: Entry) -> list[dict[str, Any]] | None:
        """What its addresses answer now; None: there is no service to ask."""
        edge = self._table.current
        service = None if edge is None else edge.services.get(edge.service_of(entry.tenant_id, entry.domain_id))
        if edge is None or service is None:
            return None
        return await examine(service, _bundle(service, edge))

    def _next(self, entry: Entry, now: str) -> str | None:
        edge = self._to_come.current
        name = now if edge is None else edge.service_of(entry.tenant_id, entry.domain_id)
        return None if name == now else name

    def _state(self, edge: Edge, name: str, holders: Sequence[Mapping[str, Any]]) -> tuple[str, str | None]:
        for left_out in (edge.left_out, self._configurations.left_out):
            if (reason := left_out.get((SERVICE, name))) is not None:
                return "left_out", reason
        if name not in edge.services:
            return "unknown", f"No service is called {name}: requests are answered 503."
        for holder in holders:
            if holder["rejected"] is not None:
                return "rejected", f"Envoy has rejected it: {holder['rejected']['reason']}"
        return "configured", None


def _chosen_by(edge: Edge, entry: Entry) -> str:
    if edge.by_domain.get(entry.domain_id):
        return "domain"
    return "tenant" if edge.by_tenant.get(entry.tenant_id) else "default"


def _bundle(service: Service, edge: Edge) -> bytes | None:
    """The authorities that its certificate must be of; None: the machine's own, or none are needed."""
    if service.tls is None or service.tls.trust == SYSTEM:
        return None
    return edge.trust.get(service.tls.trust or DEFAULT, b"")


def _tls(settings: UpstreamTls, edge: Edge) -> dict[str, Any]:
    bundle = settings.trust or DEFAULT
    identity = settings.identity or DEFAULT
    wanted = edge.identities.get(identity)
    return {
        "sni": settings.sni,
        "names": list(settings.names),
        "trust": {"name": bundle, "cas": _authorities(edge, bundle)},
        "identity": None
        if wanted is None and settings.identity is None
        else {
            "name": identity,
            "not_after": None if wanted is None else moment(wanted.not_after),
            "left_out": edge.left_out.get((IDENTITY, identity)),
        },
    }


def _authorities(edge: Edge, bundle: str) -> list[dict[str, Any]] | str | None:
    """Why there are none, where that is known; None: the machine's own."""
    if bundle == SYSTEM:
        return None
    pem = edge.trust.get(bundle)
    if pem is None:
        return edge.left_out.get((TRUST, bundle), "There is no such bundle.")
    try:
        return authorities(TrustBundle.parse(pem.decode(errors="replace")).authorities)
    except TrustError as error:
        return error.message


def authorities(found: Sequence[Any]) -> list[dict[str, Any]]:
    """`found`: of core.trust or core.client_auth."""
    return [{"subject": one.subject, "serial": one.serial, "not_after": one.not_after.isoformat()} for one in found]
