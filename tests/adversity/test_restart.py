"""The sidecar is replaced, restarted and killed behind an Envoy under load. Requests are counted, never timed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from scenes import edge as edges
from scenes.edge import PLATFORM, TEMPLATE, Edge
from scenes.load import PAUSE, Load, load
from scenes.secrets import DeltaClient

from embedded.background import Background
from embedded.database import Database
from embedded.openbao import OpenBao
from embedded.pki import Pki
from embedded.process import Process, children
from embedded.vault_mount import VaultMount
from sidecar.wire.check_pb2 import CheckRequest, CheckResponse

Eventually = Callable[..., Awaitable[Any]]

PLATFORM_HOST = f"acme.{PLATFORM}"
HOSTS = ("shop.test", PLATFORM_HOST)
SUPERVISED = (sys.executable, "-m", "cli", "sidecar")


class Scene:
    """`edge.running` is the supervisor."""

    def __init__(self, edge: Edge, visitors: Load, eventually: Eventually) -> None:
        self.edge = edge
        self.load = visitors
        self.eventually = eventually
        self._log = edge.running.log_path
        self._log_start = self._log.stat().st_size

    async def only_worker(self, *, but: int = 0) -> int:
        """When there is just one, and not that one, it answers."""

        async def found() -> int:
            workers = children(self.edge.running.pid)
            return workers[0] if len(workers) == 1 and workers[0] != but and await self.edge.is_ready() else 0

        worker: int = await self.eventually(found, timeout=20)
        return worker

    async def replaced(self, worker: int) -> int:
        """Replace a worker, and wait until it has left."""
        self.edge.running.signal(signal.SIGHUP)
        return await self.only_worker(but=worker)

    def log(self) -> str:
        """Of this test."""
        return self._log.read_bytes()[self._log_start :].decode()

    def logged(self, event: str) -> int:
        return self.log().count(f'"event": "{event}"')


@pytest.fixture(scope="module")
def edge(
    background: Background, session_dir: Path, database_template: Database, openbao: OpenBao, pki: Pki
) -> Iterator[Edge]:
    """Supervised, with a domain and a platform subdomain; each test leaves it serving. The trust for Vault's TLS is a
    file."""
    home = session_dir / "restart"
    home.mkdir(mode=0o711)
    servers = AsyncExitStack()

    async def build() -> Edge:
        database = await database_template.copy("restart")
        servers.push_async_callback(database.drop)
        mount = await VaultMount.create(openbao, "restart")
        servers.push_async_callback(mount.remove)
        edge = edges.create(home, database, mount, pki)
        edge.command = SUPERVISED
        (home / "vault-ca.pem").write_text(pki.root_pem)
        edge.environment["NAMEPLATE_VAULT_CA_FILE"] = str(home / "vault-ca.pem")
        await edge.add_default_certificate()
        await edge.add_domain(await edge.add_tenant("acme"), "shop.test")
        return await servers.enter_async_context(edges.serve(edge))

    try:
        yield background.run(build())
    finally:
        background.run(servers.aclose())


@pytest.fixture
async def scene(edge: Edge, pki: Pki, eventually: Eventually) -> AsyncIterator[Scene]:
    async with load(edge.https_port, pki.root_pem, HOSTS, eventually) as visitors:
        yield Scene(edge, visitors, eventually)


async def test_a_planned_replacement_loses_no_request_and_no_handshake(scene: Scene) -> None:
    """Three in a row."""
    worker = await scene.only_worker()
    for number in range(3):
        await scene.load.begin(f"replacement {number}")
        worker = await scene.replaced(worker)
        await scene.load.served(300)
    assert scene.load.failures() == {}
    assert scene.logged("worker_replaced") == 3
    assert scene.logged("worker_crashed") == 0
    assert "Traceback" not in scene.log()


async def test_after_a_replacement_envoy_holds_its_certificates_and_gets_no_other_twice(scene: Scene) -> None:
    assert scene.edge.envoy is not None
    before = await scene.edge.envoy.stats("listener.")
    await scene.replaced(await scene.only_worker())

    async def reconnected() -> bool:
        return (await scene.edge.metrics())["nameplate_secret_streams"] == 1

    await scene.eventually(reconnected, timeout=10)
    await scene.load.served(300)
    metrics = await scene.edge.metrics()
    assert metrics["nameplate_secret_subscriptions"] == 3  # and the default
    assert metrics['nameplate_secret_answers_total{answer="served"}'] == 0
    assert metrics["nameplate_secret_pushes_total"] == 0
    after = await scene.edge.envoy.stats("listener.")
    certificates = [name for name in after if ".on_demand_secret.cert_" in name]
    assert certificates
    assert {name: after[name] for name in certificates} == {name: before[name] for name in certificates}
    await scene.edge.add_domain(await scene.edge.add_tenant("zeta"), "new.test")

    async def served() -> bool:
        try:
            return (await scene.edge.browser.get("new.test", scene.edge.https_port)).status == 200
        except ConnectionError:
            return False  # the change has not come yet

    await scene.eventually(served)
    assert scene.load.failures() == {}


async def test_a_replacement_that_cannot_start_leaves_the_one_before_and_says_so(scene: Scene) -> None:
    worker = await scene.only_worker()
    trust = scene.edge.home / "vault-ca.pem"
    pem = trust.read_text()
    trust.unlink()
    scene.edge.running.signal(signal.SIGHUP)
    await scene.eventually(lambda: scene.logged("replacement_failed") == 1, timeout=20)
    assert "NAMEPLATE_VAULT_CA_FILE" in scene.log()
    assert await scene.only_worker() == worker
    await scene.load.served(300)
    trust.write_text(pem)
    assert await scene.replaced(worker) != worker
    await scene.load.served(300)
    assert scene.load.failures() == {}


async def test_a_killed_worker_is_started_again_and_fails_requests_only_while_it_is_gone(scene: Scene) -> None:
    worker = await scene.only_worker()
    await scene.load.begin("gone")
    os.kill(worker, signal.SIGKILL)
    await scene.only_worker(but=worker)
    await scene.load.begin("back")
    await scene.load.served(300)
    assert set(scene.load.failures("gone")) <= {"503"}, "Envoy has the certificates, and answers"
    assert scene.load.failures("before", "back") == {}
    assert scene.logged("worker_crashed") == 1


async def test_ended_and_started_anew_it_fails_requests_only_in_between(scene: Scene) -> None:
    await scene.load.begin("gone")
    assert await scene.edge.stop_sidecar() == 0
    await scene.eventually(lambda: scene.load.outcomes["gone"]["503"] > 0, timeout=20)
    await scene.edge.start_sidecar()
    await scene.load.begin("back")
    await scene.load.served(300)
    assert set(scene.load.failures("gone")) == {"503"}
    assert scene.load.failures("before", "back") == {}


async def test_another_supervisor_takes_over_only_when_it_is_told_to(scene: Scene) -> None:
    """As when a new container is started beside the old one, with the sockets on a volume of both."""
    first = scene.edge.running
    refused = await asyncio.create_subprocess_exec(
        *SUPERVISED,
        cwd=TEMPLATE.parents[1],
        env={**os.environ, **scene.edge.environment},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await refused.communicate()
    assert refused.returncode == 2
    assert b"NAMEPLATE_ADMIN_LISTEN" in said

    async def first_has_ended() -> bool:
        return first.returncode is not None

    scene.edge.sidecar = await Process.start(
        "sidecar",
        [*SUPERVISED, "--replace"],
        log_path=first.log_path,
        ready=first_has_ended,
        env=scene.edge.environment,
        cwd=TEMPLATE.parents[1],
    )
    assert first.returncode == 0
    assert scene.logged("replaced_by_another_sidecar") == 1
    await scene.only_worker()
    await scene.load.served(300)
    assert scene.load.failures() == {}
    sockets = sorted(path.name for path in (scene.edge.home / "run").iterdir())
    assert sockets == ["check.sock", "xds.sock"]


@pytest.mark.parametrize("dead", [False, True])
async def test_a_sidecar_whose_socket_was_removed_gets_it_back_and_loses_no_request(scene: Scene, dead: bool) -> None:
    """Envoys that are connected do not notice, but the next one would. `dead`: by one that was killed as it took it."""
    worker = await scene.only_worker()
    path = scene.edge.home / "run" / "check.sock"
    path.unlink()
    if dead:
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
    await scene.only_worker(but=worker)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    await scene.load.served(300)
    assert scene.load.failures() == {}
    assert scene.logged("worker_replaced") == 1


@pytest.fixture
async def over_tcp(
    state_dir: Path,
    tmp_path: Path,
    database: Database,
    vault_mount: VaultMount,
    pki: Pki,
    ports: Callable[[int], list[int]],
) -> AsyncIterator[Edge]:
    """Both sockets on TCP with mutual TLS; no Envoy. `cert` is the server's identity and the client's.

    Its files are not in `state_dir`, which is searched for keys in the end.
    """
    edge = edges.create(state_dir, database, vault_mount, pki)
    edge.command = SUPERVISED
    identity = await pki.issue(["localhost"])
    for name, text in (("cert", identity.chain_pem), ("key", identity.key_pem), ("client_ca", pki.root_pem)):
        (tmp_path / name).write_text(text)
        edge.environment[f"NAMEPLATE_TLS_{name.upper()}_FILE"] = str(tmp_path / name)
    checks, xds = ports(2)
    edge.environment["NAMEPLATE_CHECK_ADDRESS"] = f"localhost:{checks}"
    edge.environment["NAMEPLATE_XDS_ADDRESS"] = f"localhost:{xds}"
    await edge.add_tenant("acme")
    await edge.start_sidecar()
    yield edge
    await edge.stop_sidecar()


def secure_channel(edge: Edge, address: str) -> grpc.aio.Channel:
    """`address`: the variable that holds it."""
    ca, key, chain = (
        Path(edge.environment[f"NAMEPLATE_TLS_{name}_FILE"]).read_bytes() for name in ("CLIENT_CA", "KEY", "CERT")
    )
    credentials = grpc.ssl_channel_credentials(ca, key, chain)
    return grpc.aio.secure_channel(edge.environment[address], credentials, [("grpc.enable_retries", 0)])


async def ask_for_ever(edge: Edge, answers: list[bool]) -> None:
    """On one channel, which connects again when it is told to. Each call is tried once."""
    request = CheckRequest()
    request.attributes.request.http.host = request.attributes.tls_session.sni = PLATFORM_HOST
    async with secure_channel(edge, "NAMEPLATE_CHECK_ADDRESS") as channel:
        check = channel.unary_unary(
            "/envoy.service.auth.v3.Authorization/Check",
            request_serializer=CheckRequest.SerializeToString,
            response_deserializer=CheckResponse.FromString,
        )
        while True:
            answers.append((await check(request, timeout=10)).HasField("ok_response"))
            await asyncio.sleep(PAUSE)


async def test_over_tcp_a_replacement_loses_no_call(over_tcp: Edge, eventually: Eventually) -> None:
    """A port has no name to be renamed, so both listen on it for a moment. A stream of secrets ends in good order."""
    answers: list[bool] = []
    stream = DeltaClient(secure_channel(over_tcp, "NAMEPLATE_XDS_ADDRESS"))
    await stream.subscribe("nobody.test")
    assert (await stream.read()).removed == ("nobody.test",)
    clients = [asyncio.create_task(ask_for_ever(over_tcp, answers)) for _ in range(4)]
    (before,) = children(over_tcp.running.pid)
    over_tcp.running.signal(signal.SIGHUP)
    await eventually(lambda: len(children(over_tcp.running.pid)) == 2, timeout=20)
    await eventually(lambda: len(children(over_tcp.running.pid)) == 1, timeout=20)
    answered = len(answers)
    await eventually(lambda: len(answers) >= answered + 100 or any(client.done() for client in clients), timeout=20)
    for client in clients:
        client.cancel()
    ended = await asyncio.gather(*clients, return_exceptions=True)
    assert [type(end) for end in ended] == [asyncio.CancelledError] * len(clients), ended
    assert all(answers)
    assert children(over_tcp.running.pid) != [before]
    assert await stream.ended() is grpc.StatusCode.OK
    again = DeltaClient(secure_channel(over_tcp, "NAMEPLATE_XDS_ADDRESS"))
    await again.subscribe("nobody.test")
    assert (await again.read()).removed == ("nobody.test",)
    again.close()
