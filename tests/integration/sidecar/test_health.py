"""grpc.health.v1 as grpcio's own client sees it, with its own messages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from scenes.grpcfast import serve

from sidecar.grpcfast import Streaming, Unary
from sidecar.health import SERVICE, Health

SERVICES = ("envoy.service.auth.v3.Authorization", "")
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


@pytest.fixture
async def health() -> Health:
    return Health("envoy.service.auth.v3.Authorization")


@pytest.fixture
async def channel(health: Health, state_dir: Path) -> AsyncIterator[grpc.aio.Channel]:
    methods = {
        f"/{SERVICE}/Check": Unary(health.check),
        f"/{SERVICE}/List": Unary(health.list),
        f"/{SERVICE}/Watch": Streaming(health.watch),
    }
    async with serve(methods, state_dir / "h.sock") as served, served.channel() as channel:
        yield channel


async def check(channel: grpc.aio.Channel, service: str) -> int:
    stub = health_pb2_grpc.HealthStub(channel)
    return (await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)).status


def watch(channel: grpc.aio.Channel, service: str):
    return health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=service))


async def test_the_server_and_its_services_serve_when_they_are_said_to(health, channel):
    for service in SERVICES:
        assert await check(channel, service) == NOT_SERVING
    health.serve()
    for service in SERVICES:
        assert await check(channel, service) == SERVING


async def test_a_service_that_is_not_here_is_not_found(health, channel):
    health.serve()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await check(channel, "elsewhere")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_watch_tells_each_change_and_ends_with_the_shut_down(health, channel):
    call = watch(channel, "")
    assert (await call.read()).status == NOT_SERVING
    health.serve()
    assert (await call.read()).status == SERVING
    health.serve()
    health.shut_down()
    assert (await call.read()).status == NOT_SERVING
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_a_watch_of_a_service_that_is_not_here_says_so_once_and_stays_open(health, channel):
    call, known = watch(channel, "elsewhere"), watch(channel, "")
    assert (await call.read()).status == SERVICE_UNKNOWN
    assert (await known.read()).status == NOT_SERVING
    health.serve()
    assert (await known.read()).status == SERVING
    health.shut_down()
    assert await call.read() is grpc.aio.EOF


async def test_after_the_shut_down_nothing_serves_again(health, channel):
    health.serve()
    health.shut_down()
    health.serve()
    assert await check(channel, "") == NOT_SERVING


async def test_the_list_has_every_service(health, channel):
    health.serve()
    response = await health_pb2_grpc.HealthStub(channel).List(health_pb2.HealthListRequest(), timeout=5)
    assert {service: answer.status for service, answer in response.statuses.items()} == dict.fromkeys(SERVICES, SERVING)


async def test_what_is_no_health_request_is_an_invalid_argument(channel):
    for method in ("Check", "Watch"):
        call = channel.unary_stream(f"/{SERVICE}/{method}")(b"\xff")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_watcher_that_goes_away_is_forgotten(health, channel):
    """`serve` of the scene sees that no task is left."""
    call = watch(channel, "")
    await call.read()
    call.cancel()
