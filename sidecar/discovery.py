"""What Envoy is told on its discovery streams, put together: certificates from Vault, SDS, health, and the server.

No check waits for it. It is imported and made when the checks are answered (sidecar.app): a restarted sidecar is missed
by every request, but for certificates only by the handshakes of names that are new to Envoy.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from sidecar.certs.platform import PlatformCertificate
from sidecar.certs.secrets import SecretCache
from sidecar.certs.vault import Vault
from sidecar.directory.service import DirectoryService
from sidecar.grpcfast import Server
from sidecar.health import Health
from sidecar.reflection import Reflection
from sidecar.settings import SidecarSettings
from sidecar.xds.ended import EndedRegistrations
from sidecar.xds.methods import AGGREGATED, SECRETS, methods
from sidecar.xds.service import SecretService


class Discovery:
    """`parts` run until cancelled, until `close`. To be made on the running loop."""

    def __init__(self, settings: SidecarSettings, directory: DirectoryService, ended: EndedRegistrations) -> None:
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
        self.health = Health(SECRETS, AGGREGATED)
        told = {**methods(self.secrets), **self.health.methods()}
        self._reflection = Reflection(told)
        self.server = Server({**told, **self._reflection.methods()})

    def parts(self) -> dict[str, Callable[[], Awaitable[None]]]:
        return {"vault": self.vault.run, "platform certificate": self.platform.run}

    async def drain(self, seconds: float) -> None:
        """GOAWAY; every stream ends in good order. Envoy keeps its certificates and connects again."""
        self.server.drain()
        self._reflection.close()
        self.secrets.close()
        await self.server.wait_closed(seconds)

    async def close(self) -> None:
        await self.certificates.close()
        await self.platform.close()
        await self._open.aclose()
