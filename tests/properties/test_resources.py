"""Whatever the edge holds: what is built can be read again, equal edges are equal bytes, one bad row is one bad row."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from scenes.edges import BUNDLES, CLIENT_AUTHS, IDENTITIES, NAMES

from core.hostname import normalize_sni
from core.service import BREAKER, HEALTH, TIMES, Service
from sidecar.edge.model import CLIENT_AUTH, SERVICE, ClientAuth, Edge, cluster_of
from sidecar.wire.discovery_pb2 import Any as Packed
from sidecar.xds.resources.build import Builder, Built
from sidecar.xds.resources.messages import cluster, listener, route
from sidecar.xds.resources.plan import LANES, ListenerPlan
from sidecar.xds.types import CLUSTER, ENDPOINT, LISTENER, ROUTE

MESSAGES = {CLUSTER: cluster.Cluster, LISTENER: listener.Listener, ROUTE: route.RouteConfiguration}


def numbers(table: Any) -> st.SearchStrategy[dict[str, int]]:
    bounds = {member: st.integers(each.least, each.most) for member, each in table.values()}
    return st.fixed_dictionaries({}, optional=bounds)


HOSTS = {
    "ip": st.sampled_from(["127.0.0.1", "10.1.2.3", "::1", "2001:db8::7"]),
    "name": st.sampled_from(["app", "app.internal", "shop_api.internal", "shop.svc.cluster.local."]),
}
ADDRESSES = st.sampled_from(["ip", "name"]).flatmap(
    lambda kind: st.lists(st.tuples(HOSTS[kind], st.integers(1, 65535)), min_size=1, max_size=4, unique=True)
)
TLS = st.fixed_dictionaries(
    {"names": st.lists(st.sampled_from(["a.test", "*.b.test", "10.0.0.1", "spiffe://a/b"]), min_size=1, max_size=4)},
    optional={
        "sni": st.none() | st.just("a.test"),
        "trust": st.none() | st.just("system") | NAMES,
        "identity": st.none() | NAMES,
    },
)
DOCUMENTS = st.builds(
    lambda addresses, protocol, times, health, breaker, tls: {
        "addresses": [{"host": host, "port": port} for host, port in addresses],
        "protocol": protocol,
        "healthCheck": health,
        "circuitBreaker": breaker,
        "tls": tls,
        **times,
    },
    ADDRESSES,
    st.sampled_from(["http1", "http2"]),
    numbers(TIMES),
    st.none() | numbers(HEALTH),
    st.none() | numbers(BREAKER),
    st.none() | TLS,
)
CLIENTS = st.builds(
    lambda auth, hostname: replace(auth, hostname=hostname),
    CLIENT_AUTHS,
    st.sampled_from(["m.test", "n.test", "*.m.test", "*.w.test", "UPPER.test", "*", "", "a..b", "\xff.test"]),
)
EDGES = st.builds(
    lambda services, trust, identities, clients: Edge(
        services={name: Service.from_json(name, document) for name, document in services.items()},
        trust={name: BUNDLES[0].encode() for name in trust},
        identities={one.name: one for one in identities},
        client_auth={one.domain_id: one for one in clients},
    ),
    st.dictionaries(NAMES, DOCUMENTS, max_size=4),
    st.sets(NAMES),
    st.lists(IDENTITIES, max_size=3),
    st.lists(CLIENTS, max_size=4),
)
PLANS = st.builds(
    ListenerPlan,
    st.sampled_from(LANES),
    st.sampled_from(["0.0.0.0", "::", "127.0.0.1"]),
    st.just(80),
    st.just(443),
    st.booleans(),
    st.sampled_from(["", "/dev/stdout"]),
)


def read(built: Built, type_url: str) -> dict[str, Any]:
    found = {}
    for name, encoded in built.resources[type_url].items():
        packed = Packed.FromString(encoded.resource)
        assert packed.type_url == type_url
        found[name] = MESSAGES[type_url].parse(packed.value)
        assert found[name].name == name
        assert not found[name]._unknown_fields
    return found


def is_usable(service: Service, edge: Edge) -> bool:
    if service.tls is None:
        return True
    trust, identity = service.tls.trust or "default", service.tls.identity
    return (trust == "system" or trust in edge.trust) and (identity is None or identity in edge.identities)


def is_a_name(auth: ClientAuth) -> bool:
    name = auth.hostname.removeprefix("*.")
    return normalize_sni(name) == name


@given(PLANS, EDGES)
@settings(max_examples=50)
def test_everything_that_can_be_built_is_and_the_rest_is_named(plan, edge):
    built = Builder(plan).build(edge)
    usable = {name for name, service in edge.services.items() if is_usable(service, edge)}
    assert read(built, CLUSTER).keys() == {cluster_of(name) for name in usable}
    assert {name for kind, name in built.left_out if kind == SERVICE} == edge.services.keys() - usable
    assert not built.resources[ENDPOINT]
    assert read(built, ROUTE).keys() == {"https", "http"}

    https = read(built, LISTENER)["https"]
    chains = [chain.name for chain in https.filter_chains]
    assert chains[0] == "https"
    assert len(set(chains)) == len(chains)
    named = {auth.domain_id: auth.hostname for auth in edge.client_auth.values() if is_a_name(auth)}
    assert len(chains) - 1 == len(set(named.values()))
    left = {name for kind, name in built.left_out if kind == CLIENT_AUTH}
    assert {f"client/{domain}" for domain in edge.client_auth.keys() - left} == set(chains[1:])
    required = {chain.name: bool(tls_context(chain).require_client_certificate) for chain in https.filter_chains[1:]}
    for domain in edge.client_auth.keys() - left:
        auth = edge.client_auth[domain]
        assert required[f"client/{domain}"] is (auth.required and "*" not in auth.hostname)


def tls_context(chain: Any) -> Any:
    return chain.transport_socket.typed_config.unpack()


@given(PLANS, EDGES, st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_equal_edges_are_equal_bytes_whatever_came_before(plan, edge, random_):
    builder = Builder(plan)
    first = builder.build(edge)
    builder.build(Edge())
    shuffled = replace(
        edge,
        services=_shuffled(edge.services, random_),
        trust=_shuffled(edge.trust, random_),
        client_auth=_shuffled(edge.client_auth, random_),
    )
    assert builder.build(shuffled) == first == Builder(plan).build(edge)


def _shuffled(mapping: Any, random_: random.Random) -> Any:
    items = list(mapping.items())
    random_.shuffle(items)
    return dict(items)


@given(PLANS, EDGES, NAMES)
@settings(max_examples=50)
def test_a_service_more_changes_nothing_of_the_others(plan, edge, name):
    builder = Builder(plan)
    without = replace(edge, services={one: each for one, each in edge.services.items() if one != name})
    bad = Service.from_json(name, {"addresses": [{"host": "::1", "port": 1}], "tls": {"names": ["a"], "trust": "no"}})
    before, after = builder.build(without), builder.build(replace(without, services={**without.services, name: bad}))
    assert after.resources == before.resources
    assert after.left_out == {**before.left_out, (SERVICE, name): "there is no usable trust bundle no"}


BELOW = st.sampled_from(["own.m.test", "n.m.test", "own.w.test", "m.test", "a..m.test", "UPPER.m.test", "\xe4.w.test"])


@given(PLANS, EDGES, st.data())
@settings(max_examples=50)
def test_a_name_below_a_wildcard_that_is_registered_by_itself_is_everybodys(plan, edge, data):
    names = st.lists(BELOW, unique=True).map(tuple)
    edge = replace(edge, below={domain: data.draw(names) for domain in edge.client_auth})
    built = Builder(plan).build(edge)
    own = {
        auth.hostname: domain
        for domain, auth in edge.client_auth.items()
        if (CLIENT_AUTH, domain) not in built.left_out
    }
    expected = {name: f"client/{domain}" for name, domain in own.items() if "*" not in name}
    for name, domain in own.items():
        for one in edge.below[domain] if "*" in name else ():
            if normalize_sni(one) == one:
                expected.setdefault(one, "https")
    choice = read(built, LISTENER)["https"].filter_chain_matcher
    map_ = choice.matcher_tree.exact_match_map.map if expected else {}
    assert {name: on_match.action.name for name, on_match in map_.items()} == expected
    assert bool(choice.matcher_tree) is bool(expected)


@given(PLANS, EDGES)
@settings(max_examples=20)
def test_the_chain_of_everybody_is_the_same_in_every_edge(plan, edge):
    alone = read(Builder(plan).build(Edge()), LISTENER)["https"]
    with_others = read(Builder(plan).build(edge), LISTENER)["https"]
    assert bytes(with_others.filter_chains[0]) == bytes(alone.filter_chains[0])
