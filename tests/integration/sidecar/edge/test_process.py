"""The sidecar as a process: how it starts, what it says of itself, how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families
from scenes import reflection
from scenes.edge import PLATFORM, TEMPLATE

from embedded.database import Database
from embedded.postgres import Postgres
from embedded.process import Process
from sidecar.authz.authorization import SERVICE as AUTHORIZATION
from sidecar.extproc.processor import SERVICE as EXTERNAL_PROCESSOR
from sidecar.metrics import VAULT_OUTCOMES
from sidecar.wire.check_pb2 import CheckRequest, CheckResponse
from sidecar.wire.reflection_pb2 import ServerReflectionRequest
from sidecar.xds.methods import AGGREGATED, SERVICES

ROOT = TEMPLATE.parents[1]


async def check(edge, host: str, sni: str | None = None) -> CheckResponse:
    request = CheckRequest()
    request.attributes.request.http.host = host
    request.attributes.tls_session.sni = host if sni is None else sni
    async with grpc.aio.insecure_channel(f"unix:{edge.home}/run/check.sock") as channel:
        call = channel.unary_unary(
            "/envoy.service.auth.v3.Authorization/Check",
            request_serializer=CheckRequest.SerializeToString,
            response_deserializer=CheckResponse.FromString,
        )
        return await call(request, timeout=5)


async def health(edge, socket: str, service: str) -> int:
    async with grpc.aio.insecure_channel(f"unix:{edge.home}/run/{socket}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        return (await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)).status


@pytest.fixture
async def started(edge):
    yield edge
    await edge.stop_sidecar()


async def test_it_is_ready_when_the_directory_is_loaded_and_says_how_fresh_it_is(started):
    await started.add_tenant("acme")
    await started.start_sidecar()
    body = (await started.admin("/readyz")).json()
    assert (body["ready"], body["why_not"], body["stale"], body["complete"]) == (True, None, False, True)
    assert body["names"] == 1
    assert body["position"] > 0
    assert 0 <= body["feed_age"] < 10
    assert (await started.admin("/livez")).status_code == 200
    assert (await started.admin("/elsewhere")).status_code == 404
    assert (await started.admin("/livez", method="POST")).status_code == 405
    assert (await started.admin("/livez", method="HEAD")).content == b""


async def test_both_servers_say_that_they_serve(started):
    await started.start_sidecar()
    serving = health_pb2.HealthCheckResponse.SERVING
    assert await health(started, "check.sock", "envoy.service.auth.v3.Authorization") == serving
    assert await health(started, "xds.sock", AGGREGATED) == serving
    assert await health(started, "xds.sock", "") == serving


async def test_both_servers_describe_themselves_to_a_tool_without_proto_files(started):
    await started.start_sidecar()
    for socket, envoys in (("check.sock", (AUTHORIZATION, EXTERNAL_PROCESSOR)), ("xds.sock", SERVICES)):
        async with grpc.aio.insecure_channel(f"unix:{started.home}/run/{socket}") as channel:
            for package in reflection.PACKAGES:
                own = ["grpc.health.v1.Health", *(f"{package}.ServerReflection" for package in reflection.PACKAGES)]
                assert await reflection.services(channel, package) == sorted([*envoys, *own])
                answer = await reflection.call_unary(channel, package, "grpc.health.v1.Health", "Check")
                assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_its_sockets_are_for_its_own_user(started):
    await started.start_sidecar()
    modes = {path.name: path.stat().st_mode & 0o777 for path in (started.home / "run").iterdir()}
    assert modes == {"check.sock": 0o600, "xds.sock": 0o600}
    assert (started.home / "run").stat().st_mode & 0o777 == 0o700


async def test_the_metrics_show_what_happened(started, eventually):
    await started.add_default_certificate()
    await started.add_tenant("acme")
    await started.start_sidecar()
    before = await started.metrics()
    assert (await check(started, f"acme.{PLATFORM}")).WhichOneof("http_response") == "ok_response"
    assert (await check(started, "nobody.test")).denied_response.status.code == 404

    async def certificate_is_loaded():
        return (await started.metrics()).get(
            f'nameplate_certificate_not_after_timestamp_seconds{{hostname="*.{PLATFORM}"}}'
        )

    assert await eventually(certificate_is_loaded) > time.time()
    metrics = await started.metrics()
    assert metrics['nameplate_checks_total{outcome="ok"}'] == 1
    assert metrics['nameplate_checks_total{outcome="not_configured"}'] == 1
    for result in ("hit", "negative"):
        name = f'nameplate_directory_lookups_total{{result="{result}"}}'
        assert metrics[name] == before[name] + 1
    assert metrics["nameplate_directory_names"] == 1
    assert metrics["nameplate_directory_complete"] == 1
    assert metrics["nameplate_feed_position"] > 0
    assert metrics["nameplate_feed_age_seconds"] < 10
    assert metrics["nameplate_certificate_fetch_seconds_count"] == 0
    assert metrics["process_resident_memory_bytes"] > 0
    assert (metrics["nameplate_ready"], metrics["nameplate_envoys"], metrics["nameplate_vault_away"]) == (1, 0, 0)
    assert metrics['nameplate_vault_requests_total{outcome="ok"}'] == 2  # the login, and the certificate
    assert metrics["nameplate_vault_request_seconds_count"] == sum(
        metrics[f'nameplate_vault_requests_total{{outcome="{outcome}"}}'] for outcome in VAULT_OUTCOMES
    )
    assert metrics["nameplate_platform_certificate_not_after_timestamp_seconds"] > time.time()
    assert metrics['nameplate_grpc_calls_total{socket="checks"}'] == 2
    assert metrics['nameplate_grpc_calls_total{socket="xds"}'] == 0


async def test_each_metric_is_there_once_and_explained(started):
    await started.start_sidecar()
    text = (await started.admin("/metrics")).text
    families = list(text_string_to_metric_families(text))
    assert len(families) == len({family.name for family in families}) > 30
    assert [family.name for family in families if not family.documentation] == []


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_in_order_within_seconds(started, ending):
    await started.add_tenant("acme")
    process = await started.start_sidecar()
    began = time.monotonic()
    process.signal(ending)
    assert await asyncio.wait_for(process.wait(), 10) == 0
    assert time.monotonic() - began < 5
    assert list((started.home / "run").iterdir()) == []
    assert (started.home / "state" / "directory.snapshot").stat().st_mode & 0o777 == 0o600
    assert "sidecar_ended" in process.log_tail()
    assert "Traceback" not in process.log_path.read_text()


async def test_it_ends_in_order_with_streams_and_watches_open(started):
    process = await started.start_sidecar()
    async with grpc.aio.insecure_channel(f"unix:{started.home}/run/xds.sock") as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=""))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        stream = channel.stream_stream(
            "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
        )()
        await stream.write(b"")
        tool = reflection.info(channel, reflection.PACKAGES[0])
        await tool.write(ServerReflectionRequest(list_services="*"))
        await tool.read()
        process.signal(signal.SIGTERM)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert await tool.read() is grpc.aio.EOF
        assert await tool.code() is grpc.StatusCode.OK
        assert await asyncio.wait_for(process.wait(), 10) == 0
    assert "Traceback" not in process.log_path.read_text()


async def test_a_restart_without_postgresql_serves_from_the_snapshot(state_dir, edge):
    async with Postgres.start(state_dir) as postgres:
        edge.database = await Database.create(postgres, "nameplate")
        edge.environment["NAMEPLATE_SIDECAR_DATABASE_URL"] = edge.database.sidecar_dsn
        tenant = await edge.add_tenant("acme")
        await edge.start_sidecar()
        await edge.stop_sidecar()
        await postgres.stop()
        await edge.start_sidecar()
        try:
            body = (await edge.admin("/readyz")).json()
            assert (body["ready"], body["stale"], body["complete"], body["feed_age"]) == (True, True, True, None)
            answer = await check(edge, f"acme.{PLATFORM}")
            assert answer.ok_response.headers[0].header.value == str(tenant)
            assert (await check(edge, "nobody.test")).denied_response.status.code == 404
        finally:
            await edge.stop_sidecar()


async def start_unready(edge) -> Process:
    """Up to the point where it is alive."""

    async def alive() -> bool:
        try:
            return (await edge.admin("/livez")).status_code == 200
        except httpx.TransportError:
            return False

    edge.sidecar = await Process.start(
        "sidecar",
        [sys.executable, "-m", "sidecar"],
        log_path=edge.home / "sidecar.log",
        ready=alive,
        env=edge.environment,
        cwd=ROOT,
    )
    return edge.sidecar


async def test_without_postgresql_and_snapshot_it_serves_but_is_not_ready(started, ports, eventually):
    """Checks are refused as unavailable, not as unknown."""
    (nowhere,) = ports(1)
    started.environment["NAMEPLATE_SIDECAR_DATABASE_URL"] = f"postgresql://nameplate_sidecar@127.0.0.1:{nowhere}/x"
    await start_unready(started)
    await eventually((started.home / "run" / "check.sock").exists, timeout=10)
    ready = await started.admin("/readyz")
    assert (ready.status_code, ready.json()["why_not"]) == (503, "the directory is not loaded")
    answer = await check(started, "shop.test")
    assert answer.denied_response.status.code == 503
    assert (await started.metrics())['nameplate_checks_total{outcome="unavailable"}'] == 1


async def test_a_signal_ends_it_while_it_still_waits_for_postgresql(started, ports):
    (nowhere,) = ports(1)
    started.environment["NAMEPLATE_SIDECAR_DATABASE_URL"] = f"postgresql://nameplate_sidecar@127.0.0.1:{nowhere}/x"
    process = await start_unready(started)
    process.signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 10) == 0
    assert list((started.home / "run").iterdir()) == []
    assert "sidecar_serving" not in process.log_path.read_text()


async def run_to_its_end(edge, **changes: str) -> tuple[int, str]:
    """Exit code and standard error of a sidecar that should not start."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NAMEPLATE_")}
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "sidecar"],
        env={**environment, **edge.environment, **changes},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stderr


async def test_settings_that_cannot_be_used_end_it_with_words(edge):
    code, said = await run_to_its_end(
        edge, NAMEPLATE_PLATFORM_DOMAIN="platform", NAMEPLATE_CHECK_ADDRESS="9000", NAMEPLATE_VAULT_SECRET_ID="hunter2"
    )
    assert code == 2
    assert [line.split(": ")[1] for line in said.splitlines()] == [
        "NAMEPLATE_PLATFORM_DOMAIN",
        "NAMEPLATE_CHECK_ADDRESS",
    ]
    assert "hunter2" not in said


async def test_a_second_sidecar_on_the_same_sockets_does_not_start(started, ports):
    await started.start_sidecar()
    (admin,) = ports(1)
    code, said = await run_to_its_end(started, NAMEPLATE_ADMIN_LISTEN=f"127.0.0.1:{admin}")
    assert code == 2
    assert "Another process is listening" in said
    code, said = await run_to_its_end(started)
    assert code == 2
    assert "NAMEPLATE_ADMIN_LISTEN" in said
    assert await health(started, "check.sock", "") == health_pb2.HealthCheckResponse.SERVING
    assert sorted(path.name for path in (started.home / "run").iterdir()) == ["check.sock", "xds.sock"]


async def test_without_a_supervisor_it_ends_as_failed_when_its_socket_was_removed(started):
    """For whoever starts it again."""
    process = await started.start_sidecar()
    (started.home / "run" / "check.sock").unlink()
    assert await asyncio.wait_for(process.wait(), 10) == 1
    assert "socket_lost" in process.log_path.read_text()


async def test_no_secret_is_in_the_log(started):
    started.environment["NAMEPLATE_LOG_LEVEL"] = "debug"
    await started.add_default_certificate()
    process = await started.start_sidecar()
    await started.stop_sidecar()
    log = process.log_path.read_text()
    assert "sidecar_serving" in log
    for secret in (started.environment["NAMEPLATE_VAULT_SECRET_ID"], "PRIVATE KEY"):
        assert secret not in log


async def test_it_dumps_no_core(started):
    process = await started.start_sidecar()
    limits = Path(f"/proc/{process.pid}/limits").read_text()
    (line,) = (line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert line.split()[4:6] == ["0", "0"]
