"""A sidecar that shall replace another one. The one before is a process, its successor is in here."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import grpc
import pytest
from scenes.edge import PLATFORM, Edge

from core.feed import SIDECARS_CHANNEL
from embedded.process import Process
from sidecar import app
from sidecar.app import Sidecar
from sidecar.settings import read_settings
from sidecar.stop import Stop
from sidecar.supervisor.link import Link
from sidecar.wire.check_pb2 import CheckRequest, CheckResponse

HOST = f"acme.{PLATFORM}"


@pytest.fixture
async def first(edge: Edge) -> AsyncIterator[Process]:
    await edge.add_tenant("acme")
    first = await edge.start_sidecar()
    yield first
    await first.stop()


@asynccontextmanager
async def successor(edge: Edge, monkeypatch: pytest.MonkeyPatch, **changes: str) -> AsyncIterator[asyncio.Task[Stop]]:
    for name, value in {**edge.environment, **changes}.items():
        monkeypatch.setenv(name, value)
    sidecar = Sidecar(read_settings(), Link(None), replace=True)
    running = asyncio.create_task(sidecar.run())
    try:
        yield running
    finally:
        sidecar.stop(Stop.TOLD)
        await asyncio.gather(running, return_exceptions=True)
        for _ in range(5):  # what was aborted is told so
            await asyncio.sleep(0)
        gc.unfreeze()  # all that is alive in this process is not here to stay


async def passed(edge: Edge) -> bool:
    request = CheckRequest()
    request.attributes.request.http.host = request.attributes.tls_session.sni = HOST
    async with grpc.aio.insecure_channel(f"unix:{edge.home}/run/check.sock") as channel:
        call = channel.unary_unary(
            "/envoy.service.auth.v3.Authorization/Check",
            request_serializer=CheckRequest.SerializeToString,
            response_deserializer=CheckResponse.FromString,
        )
        return (await call(request, timeout=5)).HasField("ok_response")


def sockets(edge: Edge) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in (edge.home / "run").iterdir()}


@pytest.mark.parametrize("snapshot", [True, False])
async def test_one_that_cannot_read_the_changes_gives_up_and_leaves_the_one_before(
    edge, first, monkeypatch, ports, tmp_path, eventually, snapshot
):
    """Not even with a snapshot: the other one knows what changed since."""
    monkeypatch.setattr(app, "REPLACE_PATIENCE", 0.5)
    before = sockets(edge)
    changes = {"NAMEPLATE_SIDECAR_DATABASE_URL": f"postgresql://nameplate_sidecar@127.0.0.1:{ports(1)[0]}/x"}
    if snapshot:
        await eventually((edge.home / "state" / "directory.snapshot").exists, timeout=10)
    else:
        changes["NAMEPLATE_STATE_DIR"] = str(tmp_path)
    async with successor(edge, monkeypatch, **changes) as running:
        assert await running is Stop.NOT_READY
    assert sockets(edge) == before
    assert first.returncode is None
    assert await passed(edge)
    assert await edge.is_ready()


async def test_one_whose_predecessor_dies_meanwhile_answers_at_once(
    edge, first, monkeypatch, ports, tmp_path, eventually
):
    """With what it has: nobody else answers."""
    monkeypatch.setattr(app, "LOAD_PATIENCE", 0.1)
    monkeypatch.setattr(app, "BUILD_PATIENCE", 0.1)
    nowhere = f"postgresql://nameplate_sidecar@127.0.0.1:{ports(1)[0]}/x"
    environment = {"NAMEPLATE_SIDECAR_DATABASE_URL": nowhere, "NAMEPLATE_STATE_DIR": str(tmp_path)}
    before = sockets(edge)
    async with successor(edge, monkeypatch, **environment):
        os.kill(first.pid, signal.SIGKILL)
        await first.wait()

        async def answered() -> bool:
            return sockets(edge)["check.sock"] != before["check.sock"] and not await passed(edge)

        await eventually(answered, timeout=20)


async def test_control_hears_of_changes_from_the_one_that_answers_only(edge, first, monkeypatch, eventually):
    """Both have one name, and what the successor has read is not yet what Envoy is answered."""
    senders: set[int] = set()
    connection = await asyncpg.connect(edge.database.superuser_dsn)
    await connection.add_listener(SIDECARS_CHANNEL, lambda _connection, pid, _channel, _payload: senders.add(pid))
    backends = (
        "SELECT array_agg(pid) FROM pg_stat_activity"
        " WHERE usename = 'nameplate_sidecar' AND datname = current_database()"
    )
    old = set(await connection.fetchval(backends))
    monkeypatch.setattr(Sidecar, "_is_as_good", lambda _self: False)
    async with successor(edge, monkeypatch):

        async def both_read() -> bool:
            return len(await connection.fetchval(backends)) > len(old)

        await eventually(both_read)
        await edge.add_tenant("zeta")
        await eventually(lambda: senders)
        assert senders <= old
        monkeypatch.undo()
        await eventually(lambda: first.returncode is not None, timeout=20)
        senders.clear()
        await edge.add_tenant("eta")
        await eventually(lambda: senders, timeout=10)
        assert not senders & old
    await connection.close()
    assert first.returncode == 4
    assert "replaced" in first.log_tail()
