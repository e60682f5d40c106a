"""The two listeners. Of https, what changes with the edge is its filter chains and their choice: an update in place."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final
from uuid import UUID

from sidecar.edge.model import ClientAuth
from sidecar.xds.resources import chains, connection_manager
from sidecar.xds.resources.connection_manager import HTTP, HTTPS
from sidecar.xds.resources.messages import core, listener, pack, proxy_protocol, tls_inspector
from sidecar.xds.resources.plan import ListenerPlan

BUFFER: Final = 32768
INSPECTION: Final = timedelta(seconds=5)
BLANK: Final = str(UUID(int=0))


def https(plan: ListenerPlan, clients: Mapping[str, ClientAuth], below: Collection[str] = ()) -> bytes:
    """Encoded. `clients`: by hostname, the domains that ask for client certificates.

    `below`: names below the wildcards among them that are not theirs.
    """
    built = _listener(plan, HTTPS, plan.https_port)
    built.listener_filters.append(_listener_filter("tls_inspector", tls_inspector.TlsInspector()))
    built.listener_filters_timeout = INSPECTION
    built.filter_chain_matcher = chains.choice(
        {hostname: chains.CLIENT_CHAIN + auth.domain_id for hostname, auth in clients.items()}, below
    )
    built.filter_chains = [chains.everybody(plan)]
    return bytes(built) + _client_chains(plan, (clients[hostname] for hostname in sorted(clients)))


def _client_chains(plan: ListenerPlan, clients: Iterable[ClientAuth]) -> bytes:
    """Repeated fields may be concatenated, and chains differ in nothing but an id: one is built (5 ms) for them all."""
    patterns: dict[tuple[bool, bool], bytes] = {}
    found = []
    for auth in clients:
        if len(auth.domain_id) != len(BLANK):
            found.append(_chain(plan, auth))
            continue
        kind = (auth.required, auth.hostname.startswith(chains.WILDCARD))
        if kind not in patterns:
            patterns[kind] = _chain(plan, replace(auth, domain_id=BLANK))
        found.append(patterns[kind].replace(BLANK.encode(), auth.domain_id.encode()))
    return b"".join(found)


def _chain(plan: ListenerPlan, auth: ClientAuth) -> bytes:
    return bytes(listener.Listener(filter_chains=[chains.client(plan, auth)]))


def http(plan: ListenerPlan) -> bytes:
    built = _listener(plan, HTTP, plan.http_port)
    built.filter_chains = [listener.FilterChain(filters=connection_manager.plain(plan))]
    return bytes(built)


def _listener(plan: ListenerPlan, name: str, port: int) -> listener.Listener:
    built = listener.Listener(
        name=name,
        address=core.Address(
            socket_address=core.SocketAddress(
                address=plan.address,
                port_value=port,
                # `::` is everybody's, as 0.0.0.0 is.
                ipv4_compat=plan.address == "::",
            )
        ),
        per_connection_buffer_limit_bytes=BUFFER,
    )
    if plan.proxy_protocol:
        built.listener_filters.append(_listener_filter("proxy_protocol", proxy_protocol.ProxyProtocol()))
    return built


def _listener_filter(
    kind: str, message: tls_inspector.TlsInspector | proxy_protocol.ProxyProtocol
) -> listener.ListenerFilter:
    return listener.ListenerFilter(name=f"envoy.filters.listener.{kind}", typed_config=pack(message))
