"""The edge in a sidecar process: what a check is told of it, and that nothing passes without it."""

from __future__ import annotations

import sys

import asyncpg
import grpc
import httpx
import pytest
from scenes.checks import check_request
from scenes.edge import TEMPLATE
from scenes.edges import EdgeRows

from embedded.ports import LOOPBACK
from embedded.process import Process
from sidecar.wire.check_pb2 import CheckResponse

HOST = "shop.mybrand.test"


async def check(edge, host: str = HOST) -> CheckResponse:
    async with grpc.aio.insecure_channel(f"unix:{edge.home}/run/check.sock") as channel:
        call = channel.unary_unary("/envoy.service.auth.v3.Authorization/Check")
        return CheckResponse.FromString(await call(check_request(host, b"/", host), timeout=5))


async def cluster(edge) -> str | None:
    options = (await check(edge)).ok_response.headers
    return {option.header.key: option.header.value for option in options}.get("x-nameplate-cluster")


@pytest.fixture
async def started(edge):
    """With a live domain; `shop` is its tenant's service, and nothing runs yet."""
    tenant = await edge.add_tenant("acme")
    await edge.add_domain(tenant, HOST)
    connection = await asyncpg.connect(edge.database.control_dsn)
    rows = EdgeRows(connection)
    await rows.service("shop")
    await rows.choice(tenant, None, "shop")
    yield edge, rows, tenant
    await connection.close()
    await edge.stop_sidecar()


async def says(edge, field: str, value: object) -> bool:
    """Of /readyz, which is there a moment after the checks."""
    try:
        return (await edge.admin("/readyz")).json()[field] == value
    except httpx.TransportError:
        return False


async def start_without_postgresql(edge, ports) -> None:
    (nowhere,) = ports(1)
    edge.environment["NAMEPLATE_SIDECAR_DATABASE_URL"] = f"postgresql://nameplate_sidecar@{LOOPBACK}:{nowhere}/x"

    async def answers() -> bool:
        try:
            await check(edge)
        except grpc.RpcError:
            return False
        return True

    edge.sidecar = await Process.start(
        "sidecar",
        (sys.executable, "-m", "sidecar"),
        log_path=edge.home / "sidecar-again.log",
        ready=answers,
        env=edge.environment,
        cwd=TEMPLATE.parents[1],
    )


async def test_a_check_is_told_the_cluster_and_another_one_when_that_changes(started, eventually):
    edge, rows, tenant = started
    await edge.start_sidecar()
    assert await cluster(edge) == "service/shop"
    await rows.service("other")
    await rows.choice(tenant, None, "other")

    async def goes_elsewhere() -> bool:
        return await cluster(edge) == "service/other"

    await eventually(goes_elsewhere)


async def test_metrics_say_what_the_edge_holds_and_what_was_left_out(started, eventually):
    edge, rows, _ = started
    await edge.start_sidecar()
    await rows.identity("default")
    await rows.connection.execute("INSERT INTO services (name, spec) VALUES ('broken', '{}')")

    async def seen() -> bool:
        metrics = await edge.metrics()
        assert metrics["nameplate_edge_loaded"] == 1
        assert metrics['nameplate_edge_rows{kind="service"}'] == 1
        assert metrics['nameplate_edge_rows{kind="choice"}'] == 1
        assert metrics['nameplate_edge_left_out{kind="service"}'] == 1
        assert metrics['nameplate_identity_not_after_timestamp_seconds{identity="default"}'] > 1.9e9
        return metrics["nameplate_edge_changes_total"] >= 2

    await eventually(seen)


async def test_a_restart_without_postgresql_knows_the_edge_of_before(started, ports, eventually):
    edge, _, _ = started
    await edge.start_sidecar()
    await edge.stop_sidecar()
    assert (edge.home / "state" / "edge.snapshot").stat().st_mode & 0o777 == 0o600
    await start_without_postgresql(edge, ports)
    assert await cluster(edge) == "service/shop"
    await eventually(lambda: says(edge, "stale", True), timeout=10)


async def test_a_restart_without_postgresql_and_with_a_torn_snapshot_lets_nobody_in(started, ports, eventually):
    edge, _, _ = started
    await edge.start_sidecar()
    await edge.stop_sidecar()
    path = edge.home / "state" / "edge.snapshot"
    path.write_bytes(path.read_bytes()[:-1])
    await start_without_postgresql(edge, ports)
    assert (await check(edge)).denied_response.status.code == 503
    assert (await check(edge, "nobody.test")).denied_response.status.code == 404
    await eventually(lambda: says(edge, "why_not", "the edge is not loaded"), timeout=10)
    assert not await edge.is_ready()
    assert (await edge.metrics())["nameplate_edge_loaded"] == 0
