"""The peer of the check server: the same directory and the same Checker behind grpc.aio, as the product had it once.

    NAMEPLATE_*=... python -m bench.peers.grpcaio        the sidecar's settings; no secrets are served

A hit is answered in the call's own step, bytes in and bytes out, on the fastest event loop there is: what is measured
is grpc.aio, and nothing that could have been written better around it.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Iterator

import grpc
import uvloop
from prometheus_client import generate_latest
from prometheus_client.core import Metric

from core import log as logs
from core.families import Families, counter
from sidecar.admin import Admin, AdminServer
from sidecar.authz.check import Checker
from sidecar.authz.policy import Pending
from sidecar.directory.service import DirectoryService
from sidecar.readiness import Readiness
from sidecar.settings import SidecarSettings, read_settings

SERVICE = "envoy.service.auth.v3.Authorization"
STOP_GRACE = 1.0


class Authorization:
    """`envoy.service.auth.v3.Authorization/Check`, from memory: a name that would have to be loaded is refused."""

    def __init__(self, checker: Checker[bytes]) -> None:
        self._checker = checker

    def handler(self) -> grpc.GenericRpcHandler[bytes, bytes]:
        """Without (de)serializers the messages stay bytes."""
        return grpc.method_handlers_generic_handler(SERVICE, {"Check": grpc.unary_unary_rpc_method_handler(self.check)})

    async def check(self, request: bytes, _context: object) -> bytes:
        reply = self._checker.check(request)
        return self._checker.unavailable() if isinstance(reply, Pending) else reply


async def serve(settings: SidecarSettings) -> None:
    """Until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    directory = DirectoryService(
        settings.database(),
        platform_domain=settings.platform_domain,
        sidecar=settings.sidecar_id,
        state_dir=settings.state_dir,
        capacity=settings.directory_capacity,
        misses_per_second=settings.misses_per_second,
    )
    checker: Checker[bytes] = Checker(directory.directory, directory.challenges, directory.edge, bytes)
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((Authorization(checker).handler(),))
    server.add_insecure_port(str(settings.check_address))
    await server.start()

    def readiness() -> Readiness:
        names = directory.directory
        return Readiness(names.loaded, None, names.stale, names.complete, directory.feed.position, None, len(names))

    def metrics() -> Iterator[Metric]:
        yield counter("checks", "Answered ext_authz checks.", checker.stats(), "outcome")

    admin = AdminServer.of(Admin(readiness, lambda: lambda: generate_latest(Families(metrics))))
    listening = socket.create_server((settings.admin_listen.host, settings.admin_listen.port))
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(directory.run())
        tasks.create_task(admin.serve(sockets=[listening]))
        await stop.wait()
        await server.stop(STOP_GRACE)
        following.cancel()
        admin.should_exit = True


def main() -> None:
    settings = read_settings()
    logs.configure("grpc.aio", settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings))


if __name__ == "__main__":
    main()
