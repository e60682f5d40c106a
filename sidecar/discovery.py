"""What Envoy is told on its discovery streams, put together: certificates from Vault, SDS, its server and its socket.

No check waits for it. It is imported, made and started when the checks are answered (sidecar.app): a restarted sidecar
is missed by every request, but for certificates only by the handshakes of names that are new to Envoy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health  # type: ignore[attr-defined]  # not in the stubs

from sidecar.certs.platform import PlatformCertificate
from sidecar.certs.secrets import SecretCache
from sidecar.certs.vault import Vault
from sidecar.directory.service import DirectoryService
from sidecar.listen import UNIX, ListenError, TcpAddress, TlsFiles, UnixAddress, claim
from sidecar.settings import SidecarSettings
from sidecar.socket_path import Holder, SocketPath
from sidecar.xds import server as xds
from sidecar.xds.ended import EndedRegistrations
from sidecar.xds.service import SecretService

SERVICES = ("", xds.SECRETS, xds.AGGREGATED)


class Discovery:
    """`parts` run until cancelled, between `bind` and `close`. To be made on the running loop."""

    def __init__(
        self, settings: SidecarSettings, directory: DirectoryService, ended: EndedRegistrations, *, replace: bool
    ) -> None:
        self.vault = Vault(
            settings.vault_addr,
            mount=settings.vault_mount,
            role_id=settings.vault_role_id,
            secret_id=settings.secret_id,
            ca_file=settings.vault_ca_file,
        )
        self._open = AsyncExitStack()
        self._open.push_async_exit(self.vault)
        self.platform = PlatformCertificate(self.vault, settings.platform_domain)
        self.certificates = SecretCache(self.vault)
        self.secrets = SecretService(directory.directory, directory.source, self.certificates, self.platform, ended)
        directory.feed.subscribe(self.secrets.on_change)
        self._health = health.HealthServicer()
        # Of a TCP port: else two processes would each take half of its connections.
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", int(replace)), *xds.OPTIONS])
        self._server.add_generic_rpc_handlers(tuple(xds.handlers(self.secrets)))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self.endpoint = GrpcEndpoint(settings.xds_address, settings.tls(), replace=replace)

    def parts(self) -> dict[str, Callable[[], Awaitable[None]]]:
        return {"vault": self.vault.run, "platform certificate": self.platform.run}

    async def start(self) -> None:
        """Answers, but not yet under its name. Raises ListenError."""
        self.endpoint.bind(self._server)
        await self._server.start()
        for service in SERVICES:
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)

    async def drain(self, seconds: float) -> None:
        """End every stream in good order. Envoy keeps its certificates and connects again."""
        await self._health.enter_graceful_shutdown()
        await asyncio.gather(self.secrets.close(), self._server.stop(seconds))
        self.endpoint.close()

    async def close(self) -> None:
        await self.certificates.close()
        await self._open.aclose()


class GrpcEndpoint:
    """Like sidecar.listen's Endpoint, for a server that binds its address itself."""

    def __init__(self, address: UnixAddress | TcpAddress, tls: TlsFiles | None, *, replace: bool) -> None:
        self.address = address
        self._tls = tls
        self._replace = replace
        self._path = SocketPath(address.path) if isinstance(address, UnixAddress) else None

    def bind(self, server: grpc.aio.Server) -> None:
        claim(self.address, self._tls, replace=self._replace)
        try:
            if self._path is not None:
                self._path.clear()
                server.add_insecure_port(f"{UNIX}{self._path.beside}")
            elif self._tls is not None:
                server.add_secure_port(str(self.address), _credentials(self._tls))
        except RuntimeError as error:
            raise ListenError("address_in_use", f"{self.address} cannot be bound; gRPC's log says why.") from error

    def publish(self) -> None:
        if self._path is not None:
            self._path.publish()

    def holder(self) -> Holder | None:
        return None if self._path is None else self._path.holder()

    def close(self) -> None:
        if self._path is not None:
            self._path.remove()


def _credentials(tls: TlsFiles) -> grpc.ServerCredentials:
    pair = (tls.key.read_bytes(), tls.cert.read_bytes())
    return grpc.ssl_server_credentials([pair], tls.client_ca.read_bytes(), require_client_auth=True)
