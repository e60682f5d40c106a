"""What Envoy is told on its discovery streams, put together: certificates from Vault, SDS, health, and the server.

No check waits for it. It is imported and made when the checks are answered (sidecar.app): a restarted sidecar is missed
by every request, but for certificates only by the handshakes of names that are new to Envoy.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from sidecar.authz.policy import Edges, Names, Policy
from sidecar.certs.edge import EdgeSecrets
from sidecar.certs.platform import PlatformCertificate
from sidecar.certs.secrets import SecretCache
from sidecar.certs.vault import Vault
from sidecar.directory.service import DirectoryService
from sidecar.explain.certificate import CertificateSection
from sidecar.explain.client_auth import ClientAuthSection
from sidecar.explain.explain import Explain
from sidecar.explain.service import ServiceSection
from sidecar.explain.sources import Uncounted
from sidecar.grpcfast import Server
from sidecar.health import Health
from sidecar.readiness import Readiness
from sidecar.reflection import Reflection
from sidecar.settings import SidecarSettings
from sidecar.xds.configurations import ConfigurationTable
from sidecar.xds.ended import EndedRegistrations
from sidecar.xds.methods import SERVICES, methods
from sidecar.xds.proof import Proof
from sidecar.xds.resolver import Resolver
from sidecar.xds.resources.resources import Resources
from sidecar.xds.service import DiscoveryService


class Discovery:
    """`parts` run until cancelled, until `close`. To be made on the running loop."""

    def __init__(self, settings: SidecarSettings, directory: DirectoryService, ended: EndedRegistrations) -> None:
        self.vault = Vault(
            settings.vault_addr,
            mount=settings.vault_mount,
            login=settings.vault_login(),
            ca_file=settings.vault_ca_file,
            namespace=settings.vault_namespace,
        )
        self._directory = directory
        self._lane = settings.lane
        self._open = AsyncExitStack()
        self._open.push_async_exit(self.vault)
        self.platform = PlatformCertificate(self.vault, settings.platform_domain)
        self.certificates = SecretCache(self.vault)
        self.edge = EdgeSecrets(directory.edge, self.vault)
        configurations = ConfigurationTable()
        self.secrets = DiscoveryService(
            directory.directory, directory.source, self.certificates, self.platform, ended, self.edge, configurations
        )
        self.resources = Resources(settings.listener_plan(), directory.edge, configurations)
        directory.feed.subscribe(self.secrets.on_change)
        directory.feed.accompany(Proof(self.secrets.envoys, directory.directory, directory.edge))
        self.health = Health(*SERVICES)
        told = {**methods(self.secrets), **self.health.methods()}
        self._reflection = Reflection(told)
        self.server = Server({**told, **self._reflection.methods()})

    def parts(self) -> dict[str, Callable[[], Awaitable[None]]]:
        return {
            "vault": self.vault.run,
            "platform certificate": self.platform.run,
            "envoy's configuration": self.resources.run,
        }

    def explain(self, policy: Callable[[Names], Policy], edges: Edges, readiness: Callable[[], Readiness]) -> Explain:
        """`policy`: what decides the checks, over the names that it is given. `edges`: as checks are told of it."""
        directory, source = self._directory.directory, self._directory.source
        names, envoys = Uncounted(directory), self.secrets.envoys
        return Explain(
            directory,
            source,
            policy(names),
            Resolver(names, source, self.certificates, self.platform, self.edge),
            CertificateSection(self.certificates, self.platform),
            ServiceSection(edges, self._directory.edge, self.resources, envoys),
            ClientAuthSection(edges, envoys),
            envoys,
            readiness,
            lambda: self._directory.feed.last_error,
            self._lane,
        )

    async def drain(self, seconds: float) -> None:
        """GOAWAY; every stream ends in good order. Envoy keeps its certificates and connects again."""
        self.server.drain()
        self._reflection.close()
        self.secrets.close()
        await self.server.wait_closed(seconds)

    async def close(self) -> None:
        await self.certificates.close()
        await self.edge.identities.close()
        await self.platform.close()
        await self._open.aclose()
