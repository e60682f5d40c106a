"""A real Envoy 1.40 whose listener, routes and clusters come from here and from nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import structlog
from scenes import xds
from scenes.handshakes import HTTP2, RETRY
from scenes.plain_upstream import plain_upstream
from scenes.xds import Room

from embedded.envoy import Envoy
from embedded.plain_http import plain_http
from embedded.ports import LOOPBACK, free_port
from sidecar.xds.configurations import Encoded
from sidecar.xds.resources import messages
from sidecar.xds.types import CLUSTER, LISTENER, ROUTE

HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
ADS = {"ads": {}, "resource_api_version": "V3"}
KINDS = {CLUSTER: messages.cluster.Cluster, LISTENER: messages.listener.Listener}
KINDS[ROUTE] = messages.route.RouteConfiguration


@pytest.fixture
async def room(state_dir) -> AsyncIterator[Room]:
    async with xds.room(state_dir) as made:
        yield made


def made(type_url: str, **document: Any) -> Encoded:
    return Encoded.of(type_url, bytes(KINDS[type_url].from_dict(document)))


def a_cluster(name: str, port: int, **more: Any) -> Encoded:
    endpoint = {"endpoint": {"address": {"socket_address": {"address": LOOPBACK, "port_value": port}}}}
    return made(
        CLUSTER,
        name=name,
        type="STATIC",
        connect_timeout="1s",
        load_assignment={"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        **more,
    )


def a_route(action: dict[str, Any]) -> Encoded:
    hosts = [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, **action}]}]
    return made(ROUTE, name="web", virtual_hosts=hosts)


def says(text: str) -> Encoded:
    return a_route({"direct_response": {"status": 200, "body": {"inline_string": text}}})


def a_listener(port: int, source: dict[str, Any] = ADS) -> Encoded:
    manager = {
        "@type": HCM,
        "stat_prefix": "web",
        "rds": {"route_config_name": "web", "config_source": source},
        "http_filters": [{"name": "router", "typed_config": {"@type": ROUTER}}],
    }
    return made(
        LISTENER,
        name="web",
        address={"socket_address": {"address": LOOPBACK, "port_value": port}},
        filter_chains=[{"filters": [{"name": "http", "typed_config": manager}]}],
    )


def api(api_type: str) -> dict[str, Any]:
    services = [{"envoy_grpc": {"cluster_name": "xds", "retry_policy": RETRY}}]
    return {"api_type": api_type, "transport_api_version": "V3", "grpc_services": services}


def bootstrap(room: Room, *, api_type: str, aggregated: bool) -> str:
    source = ADS if aggregated else {"api_config_source": api(api_type), "resource_api_version": "V3"}
    resources: dict[str, Any] = {"lds_config": source, "cds_config": source}
    if aggregated:
        resources["ads_config"] = api(api_type)
    cluster = {
        "name": "xds",
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": HTTP2,
        "load_assignment": {
            "cluster_name": "xds",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": str(room.socket)}}}}]}],
        },
    }
    return json.dumps(
        {
            "node": {"id": "bare", "cluster": "test"},
            "dynamic_resources": resources,
            "static_resources": {"clusters": [cluster]},
        }
    )


@contextlib.asynccontextmanager
async def an_envoy(room, state_dir, *, api_type: str = "DELTA_GRPC", aggregated: bool = True) -> AsyncIterator[Envoy]:
    async with Envoy.start(state_dir, bootstrap(room, api_type=api_type, aggregated=aggregated)) as envoy:
        yield envoy


async def get(port: int) -> str:
    async with plain_http() as client:
        return (await client.get(f"http://{LOOPBACK}:{port}/")).text


def answers(port: int, text: str):
    async def check() -> bool:
        try:
            return await get(port) == text
        except httpx.TransportError:
            return False

    return check


SHAPES = [
    pytest.param({"api_type": "DELTA_GRPC"}, id="delta, aggregated"),
    pytest.param({"api_type": "GRPC"}, id="state of the world, aggregated"),
    pytest.param({"api_type": "DELTA_GRPC", "aggregated": False}, id="delta, separate"),
    pytest.param({"api_type": "GRPC", "aggregated": False}, id="state of the world, separate"),
]


@pytest.mark.parametrize("shape", SHAPES)
async def test_everything_comes_and_changes_and_goes(room, state_dir, eventually, shape):
    port = free_port()
    source = ADS if shape.get("aggregated", True) else {"api_config_source": api(shape["api_type"])}
    listener = a_listener(port, {**source, "resource_api_version": "V3"})
    room.table.replace({CLUSTER: {"one": a_cluster("one", 1)}, LISTENER: {"web": listener}, ROUTE: {"web": says("1")}})
    room.service.envoys.mark(1)
    async with an_envoy(room, state_dir, **shape) as envoy:
        await eventually(answers(port, "1"))
        await eventually(lambda: set(room.service.envoys.acknowledged()) == {1})
        room.table.replace({ROUTE: {"web": says("2")}})
        await eventually(answers(port, "2"))
        two = {"one": a_cluster("one", 1), "two": a_cluster("two", 1)}
        room.table.replace({CLUSTER: two})
        room.service.envoys.mark(2)
        await eventually(lambda: set(room.service.envoys.acknowledged()) == {2})
        assert (await envoy.stats("cluster_manager.active_clusters")).popitem()[1] == 3  # xds is static
        room.table.replace({CLUSTER: {}, LISTENER: {}})

        async def gone() -> bool:
            return (await envoy.stats("listener_manager.total_listeners_active")).popitem()[1] == 0

        await eventually(gone)

        async def alone() -> bool:
            return (await envoy.stats("cluster_manager.active_clusters")).popitem()[1] == 1

        await eventually(alone)
    assert room.service.counters.nacks == 0


@pytest.mark.parametrize("shape", SHAPES)
async def test_without_any_resource_envoy_starts_at_once(room, state_dir, shape):
    """And not after the 15 seconds that it waits for a first response."""
    started = time.monotonic()
    async with an_envoy(room, state_dir, **shape):
        assert time.monotonic() - started < 10


@pytest.mark.parametrize("api_type", ["DELTA_GRPC", "GRPC"])
async def test_what_envoy_rejects_is_told_once_and_the_rest_goes_on(room, state_dir, eventually, api_type):
    port = free_port()
    good = {LISTENER: {"web": a_listener(port)}, ROUTE: {"web": says("1")}}
    room.table.replace(good)
    async with an_envoy(room, state_dir, api_type=api_type) as envoy:
        await eventually(answers(port, "1"))
        bad = made(CLUSTER, name="bad", type="STATIC", connect_timeout="0s")
        room.table.replace({CLUSTER: {"bad": bad}})
        await eventually(lambda: "bad" in room.service.envoys.rejected(CLUSTER))
        refusal = room.service.envoys.rejected(CLUSTER)["bad"]
        assert refusal.version == bad.version
        assert "connect_timeout" in refusal.reason or "ConnectTimeout" in refusal.reason
        (holder,) = room.service.envoys.holders(CLUSTER, "bad")
        assert (holder.node, holder.rejected, holder.version) == ("bare", bad.version, None)
        room.table.replace({ROUTE: {"web": says("2")}})
        await eventually(answers(port, "2"))
        assert (await envoy.stats("cluster_manager.cds.update_rejected")).popitem()[1] == 1
        room.table.replace({CLUSTER: {"good": a_cluster("good", 1)}})
        await eventually(lambda: not room.service.envoys.rejected(CLUSTER))
        assert room.service.counters.nacks == 1


async def test_of_the_clusters_and_listeners_that_an_envoy_starts_with_the_bad_ones_are_told_and_no_other(
    room, state_dir, eventually
):
    """Each by its name, though they come in one response."""
    port, taken = free_port(), socket.create_server((LOOPBACK, 0))
    good = {f"c{number}": a_cluster(f"c{number}", 1) for number in range(30)}
    bad = made(CLUSTER, name="bad", type="STATIC", connect_timeout="0s")
    other = messages.listener.Listener.from_dict(
        {"name": "taken", "address": {"socket_address": {"address": LOOPBACK, "port_value": taken.getsockname()[1]}}}
    )
    room.table.replace(
        {
            CLUSTER: {**dict(list(good.items())[:15]), "bad": bad, **dict(list(good.items())[15:])},
            LISTENER: {"taken": Encoded.of(LISTENER, bytes(other)), "web": a_listener(port)},
            ROUTE: {"web": says("1")},
        }
    )
    room.service.envoys.mark(1)
    with taken, structlog.testing.capture_logs() as events:
        async with an_envoy(room, state_dir) as envoy:
            await eventually(answers(port, "1"))
            await eventually(lambda: set(room.service.envoys.acknowledged()) == {1})
            assert (await envoy.stats("cluster_manager.active_clusters")).popitem()[1] == 31  # xds is static
            assert room.service.envoys.rejected(CLUSTER).keys() == {"bad"}
            assert room.service.envoys.rejected(LISTENER).keys() == {"taken"}
            for name, cluster in good.items():
                (holder,) = room.service.envoys.holders(CLUSTER, name)
                assert (holder.version, holder.rejected) == (cluster.version, None)
    told = [event["resource"] for event in events if event["event"] == "envoy_rejected"]
    assert sorted(told) == ["bad", "taken"]


@pytest.mark.parametrize("api_type", ["DELTA_GRPC", "GRPC"])
async def test_a_cluster_is_replaced_by_another_under_load_and_no_request_fails(room, state_dir, eventually, api_type):
    port = free_port()
    async with plain_upstream("upstream") as upstream:
        clusters = {f"c{number}": a_cluster(f"c{number}", upstream) for number in range(20)}
        room.table.replace(
            {
                CLUSTER: {"c0": clusters["c0"]},
                LISTENER: {"web": a_listener(port)},
                ROUTE: {"web": a_route({"route": {"cluster": "c0"}})},
            }
        )
        async with an_envoy(room, state_dir, api_type=api_type) as envoy:
            await eventually(answers(port, "upstream"))
            statuses: list[int] = []
            over = False

            async def load() -> None:
                async with plain_http() as client:
                    while not over:
                        statuses.append((await client.get(f"http://{LOOPBACK}:{port}/")).status_code)

            loads = [asyncio.create_task(load()) for _ in range(4)]
            for number in range(1, 20):
                name = f"c{number}"
                before = len(statuses)
                room.table.replace(
                    {CLUSTER: {name: clusters[name]}, ROUTE: {"web": a_route({"route": {"cluster": name}})}}
                )
                room.service.envoys.mark(number)
                await eventually(lambda number=number: room.service.envoys.acknowledged() == (number,))
                await eventually(lambda before=before: len(statuses) > before + 10)
            over = True
            await asyncio.gather(*loads)
            assert set(statuses) == {200}
            assert (await envoy.stats("cluster_manager.active_clusters")).popitem()[1] == 2
        assert room.service.counters.nacks == 0


async def test_an_envoy_that_reconnects_is_sent_what_has_changed_and_nothing_else(room, state_dir, eventually):
    port = free_port()
    clusters = {f"c{number}": a_cluster(f"c{number}", 1) for number in range(50)}
    room.table.replace({CLUSTER: clusters, LISTENER: {"web": a_listener(port)}, ROUTE: {"web": says("1")}})
    async with an_envoy(room, state_dir) as envoy:
        await eventually(answers(port, "1"))
        await room.stop()
        before = room.service.type_stats()
        del clusters["c7"]
        clusters["c8"] = a_cluster("c8", 2)
        room.table.replace({CLUSTER: clusters})
        room.service.envoys.mark(1)
        await room.start()
        await eventually(lambda: room.service.envoys.acknowledged() == (1,), timeout=10)
        after = room.service.type_stats()
        assert (after["cluster"]["sent"] - before["cluster"]["sent"], after["cluster"]["removed"]) == (1, 1)
        assert after["listener"] == before["listener"]
        assert after["route"] == before["route"]
        assert await answers(port, "1")()
        assert (await envoy.stats("cluster_manager.active_clusters")).popitem()[1] == 50
