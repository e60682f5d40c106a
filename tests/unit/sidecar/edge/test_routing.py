"""When the choice of a new service counts: not before every Envoy can route to it, and in the end all the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenes.edges import EDGES, SPEC, change, sample

from core.service import Service
from sidecar.edge.model import Edge
from sidecar.edge.routing import PATIENCE, SPREADING, WARMING, Routing, effective, warms
from sidecar.edge.table import EdgeTable
from sidecar.xds.resources.resources import LINGER

TENANT, OTHER, DOMAIN = (str(UUID(int=number)) for number in (1, 2, 3))
Eventually = Callable[..., Awaitable[Any]]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Envoys:
    """Has said that it has these clusters."""

    def __init__(self, *clusters: str) -> None:
        self.clusters = set(clusters)

    def lacks_cluster(self, name: str) -> bool:
        return name not in self.clusters


def services(*names: str, **more: Any) -> dict[str, Service]:
    return {name: Service.from_json(name, {**SPEC, **more}) for name in names}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table() -> EdgeTable:
    table = EdgeTable()
    table.replace(Edge(services=services("default", "old"), by_tenant={TENANT: "old"}))
    return table


@pytest.fixture
def envoys() -> Envoys:
    return Envoys("service/default", "service/old")


@pytest.fixture
def routing(table: EdgeTable, envoys: Envoys, clock: Clock) -> Iterator[Routing]:
    routing = Routing(table, clock)
    routing.envoys = envoys
    yield routing
    routing.close()


def goes_to(routing: Routing, tenant: str = TENANT, domain: str = DOMAIN) -> str:
    assert routing.current is not None
    return routing.current.service_of(tenant, domain)


def add(table: EdgeTable, name: str = "new", **fields: Any) -> None:
    """A service, and with it what chooses it."""
    assert table.current is not None
    change(table, services={**table.current.services, **services(name)}, **fields)


async def test_a_choice_of_what_was_there_counts_at_once(table: EdgeTable, routing: Routing) -> None:
    change(table, by_tenant={TENANT: "default"}, by_domain={DOMAIN: "old"})
    assert goes_to(routing) == "old"
    assert goes_to(routing, domain="") == "default"
    assert not routing.waiting


@pytest.mark.parametrize(
    ("chosen", "before"),
    [
        ({"by_tenant": {TENANT: "new"}}, "old"),
        ({"by_domain": {DOMAIN: "new"}}, "old"),
        ({"by_domain": {DOMAIN: "new"}, "by_tenant": {}}, "default"),
        ({"by_domain": {DOMAIN: "new"}, "by_tenant": {TENANT: "new"}}, "old"),
    ],
)
async def test_a_choice_of_a_new_service_counts_once_every_envoy_has_it(
    table: EdgeTable,
    routing: Routing,
    envoys: Envoys,
    clock: Clock,
    eventually: Eventually,
    chosen: dict[str, dict[str, str]],
    before: str,
) -> None:
    add(table, **chosen)
    assert goes_to(routing) == before
    assert routing.waiting == {"new"}
    envoys.clusters.add("service/new")
    await eventually(lambda: routing._awaited["new"].ready_at is not None)
    assert goes_to(routing) == before
    clock.now += SPREADING
    await eventually(lambda: goes_to(routing) == "new")
    assert routing.current == table.current


async def test_what_must_get_something_first_is_given_longer(
    table: EdgeTable, routing: Routing, envoys: Envoys, clock: Clock, eventually: Eventually
) -> None:
    assert table.current is not None
    warming = services("new", tls={"names": ["app.internal"]})
    change(table, services={**table.current.services, **warming}, by_tenant={TENANT: "new"})
    envoys.clusters.add("service/new")
    await eventually(lambda: routing._awaited["new"].ready_at == clock.now + WARMING)
    clock.now += WARMING
    await eventually(lambda: goes_to(routing) == "new")


async def test_an_envoy_that_comes_meanwhile_without_it_is_waited_for_too(
    table: EdgeTable, routing: Routing, envoys: Envoys, clock: Clock, eventually: Eventually
) -> None:
    add(table, by_tenant={TENANT: "new"})
    envoys.clusters.add("service/new")
    await eventually(lambda: routing._awaited["new"].ready_at is not None)
    envoys.clusters.remove("service/new")
    await eventually(lambda: routing._awaited["new"].ready_at is None)
    clock.now += SPREADING
    assert goes_to(routing) == "old"


async def test_an_envoy_that_never_takes_it_is_not_waited_for_for_ever(
    table: EdgeTable, routing: Routing, clock: Clock, eventually: Eventually
) -> None:
    add(table, by_tenant={TENANT: "new"})
    clock.now += PATIENCE
    await eventually(lambda: goes_to(routing) == "new")


async def test_with_nobody_to_wait_for_it_counts_at_once(table: EdgeTable, routing: Routing) -> None:
    routing.envoys = None
    add(table, by_tenant={TENANT: "new"})
    assert goes_to(routing) == "new"


async def test_the_first_edge_counts_at_once(envoys: Envoys) -> None:
    table = EdgeTable()
    routing = Routing(table)
    routing.envoys = envoys
    assert routing.current is None
    table.replace(Edge(services=services("new"), by_tenant={TENANT: "new"}))
    assert goes_to(routing) == "new"


async def test_all_else_of_a_change_counts_at_once(table: EdgeTable, routing: Routing) -> None:
    asked = sample().client_auth
    add(table, by_tenant={TENANT: "new", OTHER: "old"}, client_auth=asked)
    assert routing.current is not None
    assert routing.current.client_auth is asked
    assert goes_to(routing) == "old"
    assert goes_to(routing, OTHER) == "old"


async def test_who_went_to_a_service_that_goes_with_the_same_change_is_sent_there_as_long_as_any_other(
    table: EdgeTable, routing: Routing, clock: Clock, eventually: Eventually
) -> None:
    """Its cluster stays for longer than that."""
    assert LINGER >= PATIENCE + 1
    change(table, services=services("default", "new"), by_tenant={TENANT: "new"})
    assert goes_to(routing) == "old"
    change(table, trust=sample().trust)
    assert goes_to(routing) == "old"
    clock.now += PATIENCE
    await eventually(lambda: goes_to(routing) == "new")


async def test_a_new_service_that_goes_again_is_not_waited_for(table: EdgeTable, routing: Routing) -> None:
    add(table)
    assert routing.waiting
    change(table, services=services("default", "old"))
    assert not routing.waiting


async def test_who_is_told_is_told_of_each_step_once(
    table: EdgeTable, routing: Routing, envoys: Envoys, clock: Clock, eventually: Eventually
) -> None:
    told: list[tuple[Edge | None, Edge]] = []
    routing.subscribe(lambda before, now: told.append((before, now)))
    first = routing.current
    add(table, by_tenant={TENANT: "new"})
    envoys.clusters.add("service/new")
    await eventually(lambda: routing._awaited["new"].ready_at is not None)
    clock.now += SPREADING
    await eventually(lambda: not routing.waiting)
    assert [before for before, _ in told] == [first, told[0][1]]
    assert told[-1][1] is routing.current == table.current


@given(EDGES, EDGES, st.data())
def test_only_choices_of_what_is_awaited_are_others_and_they_lead_where_they_did(
    before: Edge, now: Edge, data: st.DataObject
) -> None:
    awaited = data.draw(st.sets(st.sampled_from(sorted(now.services))) if now.services else st.just(set[str]()))
    shown = effective(before, now, dict.fromkeys(awaited))
    assert (shown.services, shown.client_auth, shown.consumers) == (now.services, now.client_auth, now.consumers)
    for was, wanted, said in (
        (before.by_tenant, now.by_tenant, shown.by_tenant),
        (before.by_domain, now.by_domain, shown.by_domain),
    ):
        assert said.keys() <= wanted.keys()
        for who, service in wanted.items():
            if service not in awaited:
                assert said[who] == service
            else:
                assert said.get(who) == was.get(who)


def test_what_warms() -> None:
    plain, named, checked, secured = (
        Service.from_json("a", {**SPEC, **more})
        for more in (
            {},
            {"addresses": [{"host": "app.internal", "port": 1}]},
            {"healthCheck": {"path": "/"}},
            {"tls": {"names": ["app.internal"]}},
        )
    )
    assert [warms(one) for one in (plain, named, checked, secured)] == [False, True, True, True]
