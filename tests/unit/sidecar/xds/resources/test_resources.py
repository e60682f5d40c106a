"""When Envoy's configuration is built anew, what is kept meanwhile, and what a mistake does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from core.service import Service
from sidecar.edge.model import SERVICE, Edge
from sidecar.edge.table import EdgeTable
from sidecar.xds.configurations import ConfigurationTable
from sidecar.xds.resources.build import Builder
from sidecar.xds.resources.plan import ListenerPlan
from sidecar.xds.resources.resources import Resources, spacing
from sidecar.xds.types import CLUSTER, ENDPOINT, LISTENER, ROUTE


def service(name: str, port: int = 80, **document: object) -> Service:
    return Service.from_json(name, {"addresses": [{"host": "127.0.0.1", "port": port}], **document})


def edge(*services: Service) -> Edge:
    return Edge(services={one.name: one for one in services})


class Told:
    """What the streams would hear."""

    def __init__(self, table: ConfigurationTable) -> None:
        self.changes: list[dict[str, list[str]]] = []
        table.on_change = lambda changed: self.changes.append(
            {type_url: sorted(names) for type_url, names in changed.items() if names}
        )


@asynccontextmanager
async def running(edges: EdgeTable, linger: float = 0.0) -> AsyncIterator[tuple[Resources, ConfigurationTable, Told]]:
    table = ConfigurationTable()
    told = Told(table)
    resources = Resources(ListenerPlan(), edges, table, linger=linger)
    task = asyncio.create_task(resources.run())
    try:
        yield resources, table, told
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def clusters(table: ConfigurationTable) -> set[str]:
    return set(table.resources(CLUSTER) or ())


async def test_nothing_is_said_before_the_edge_is_known(eventually):
    edges = EdgeTable()
    async with running(edges) as (resources, table, told):
        assert table.resources(CLUSTER) is None
        edges.replace(edge())
        assert table.held
        assert resources.pending
        await eventually(lambda: told.changes)
        assert told.changes == [{LISTENER: ["http", "https"], ROUTE: ["http", "https"]}]
        assert table.resources(CLUSTER) == table.resources(ENDPOINT) == {}
        assert not table.held
        assert not resources.pending


async def test_an_edge_that_was_there_first_is_built_too(eventually):
    edges = EdgeTable()
    edges.replace(edge(service("a")))
    async with running(edges) as (resources, table, _):
        await eventually(lambda: clusters(table) == {"service/a"})
        assert resources.settled


async def test_a_change_is_what_changes_and_nothing_else(eventually):
    edges = EdgeTable()
    edges.replace(edge(service("a"), service("b")))
    async with running(edges) as (_, _table, told):
        await eventually(lambda: told.changes)
        edges.replace(edge(service("a"), service("b", 81)))
        await eventually(lambda: len(told.changes) == 2)
        assert told.changes[1] == {CLUSTER: ["service/b"]}


async def test_of_a_burst_the_last_one_is_shown(eventually):
    edges = EdgeTable()
    edges.replace(edge())
    async with running(edges) as (resources, table, told):
        await eventually(lambda: told.changes)
        for number in range(50):
            edges.replace(edge(service(f"s{number}")))
            await asyncio.sleep(0)
        await eventually(lambda: clusters(table) == {"service/s49"})
        assert resources.builds < 10


async def test_a_cluster_stays_for_a_while_after_its_service_has_gone(eventually):
    edges = EdgeTable()
    edges.replace(edge(service("a"), service("b")))
    async with running(edges, linger=0.5) as (resources, table, told):
        await eventually(lambda: told.changes)
        edges.replace(edge(service("b", 81)))
        await eventually(lambda: len(told.changes) == 3)
        assert told.changes[1:] == [{CLUSTER: ["service/b"]}, {CLUSTER: ["service/a"]}]
        assert clusters(table) == {"service/b"}
        assert not resources.leaving


async def test_a_service_that_comes_back_does_not_leave(eventually):
    edges = EdgeTable()
    edges.replace(edge(service("a")))
    async with running(edges, linger=60) as (resources, table, told):
        await eventually(lambda: told.changes)
        edges.replace(edge(service("b")))
        await eventually(lambda: len(told.changes) == 2)
        assert list(resources.leaving) == ["service/a"]
        assert clusters(table) == {"service/a", "service/b"}
        edges.replace(edge(service("a", 81), service("b")))
        await eventually(lambda: len(told.changes) == 3)
        assert told.changes[2] == {CLUSTER: ["service/a"]}
        assert not resources.leaving


async def test_a_service_that_cannot_be_built_is_named_and_the_others_stay(eventually):
    edges = EdgeTable()
    edges.replace(edge(service("a"), service("b", tls={"names": ["b.test"]})))
    async with running(edges) as (resources, table, _):
        await eventually(lambda: clusters(table) == {"service/a"})
        assert resources.left_out == {(SERVICE, "b"): "there is no usable trust bundle default"}
        assert resources.stats()["builds"] == 1


async def test_after_a_mistake_of_ours_what_is_shown_stays_and_it_is_tried_again(eventually, monkeypatch):
    edges = EdgeTable()
    edges.replace(edge(service("a")))
    table = ConfigurationTable()
    resources = Resources(ListenerPlan(), edges, table, linger=0)
    task = asyncio.create_task(resources.run())
    await eventually(lambda: clusters(table) == {"service/a"})
    with monkeypatch.context() as broken:
        broken.setattr(Builder, "build", lambda self, edge: 1 / 0)
        edges.replace(edge(service("b")))
        with pytest.raises(ZeroDivisionError):
            await task
    assert clusters(table) == {"service/a"}
    assert table.held
    again = asyncio.create_task(resources.run())
    await eventually(lambda: clusters(table) == {"service/b"})
    again.cancel()
    await asyncio.gather(again, return_exceptions=True)


@pytest.mark.parametrize(("chains", "seconds"), [(0, 0.2), (100, 0.2), (400, 0.5), (1000, 1.25), (10_000, 1.5)])
def test_the_more_chains_a_listener_has_the_longer_is_the_rest_to_its_next_version(chains, seconds):
    assert spacing(chains) == seconds
