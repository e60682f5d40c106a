"""Explanations over a directory in this process: nothing is connected, and the Vault is away."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from scenes.checks import ENTRIES, MISSES, PLATFORM, Tokens

from sidecar.authz.policy import Policy
from sidecar.certs.edge import EdgeSecrets
from sidecar.certs.platform import PlatformCertificate
from sidecar.certs.secrets import SecretCache
from sidecar.certs.vault_answers import VaultRecord, VaultUnavailable
from sidecar.directory.directory import Directory
from sidecar.directory.entry import Entry, PlatformDomain
from sidecar.directory.errors import Unavailable
from sidecar.directory.rows import Everything
from sidecar.edge.model import Edge
from sidecar.edge.table import EdgeTable
from sidecar.explain.certificate import CertificateSection
from sidecar.explain.client_auth import ClientAuthSection
from sidecar.explain.explain import Explain
from sidecar.explain.service import ServiceSection
from sidecar.explain.sources import Uncounted
from sidecar.readiness import Readiness
from sidecar.xds.envoys import Holder
from sidecar.xds.resolver import Resolver

HOUR = 3600.0


class Away:
    """Vault, and PostgreSQL."""

    async def read(self, path: str, version: int | None = None) -> VaultRecord:
        raise VaultUnavailable(f"{Path(path).name} was not read")

    async def load(self, host: str) -> Entry | None:
        raise Unavailable


@dataclass
class Envoys:
    """`held`: by type and name."""

    held: dict[tuple[str, str], list[Holder]] = field(default_factory=dict)

    def holders(self, type_url: str, name: str) -> list[Holder]:
        return self.held.get((type_url, name), [])


@dataclass
class Resources:
    left_out: dict[tuple[str, str], str] = field(default_factory=dict)


class Room:
    """`complete`: whether the directory holds all names; if not, it does not know those of scenes.checks.MISSES."""

    def __init__(
        self,
        entries: Iterable[Entry] = ENTRIES,
        *,
        complete: bool = True,
        edge: Edge | None = Edge(),  # noqa: B008
    ) -> None:
        self.directory = Directory(PlatformDomain(PLATFORM), capacity=1000)
        rows = {entry.hostname: entry for entry in entries}
        if complete:
            self.directory.replace(Everything(rows))
        else:
            self.directory.remember(rows)
            self.directory.remember({f"*.{name.partition('.')[2]}": None for name in MISSES})
            self.directory.loaded = True
        self.directory.fresh_for(HOUR)
        self.last_error: str | None = None
        self.edges, self.to_come = EdgeTable(), EdgeTable()
        if edge is not None:
            self.edges.replace(edge)
        self.envoys, self.resources = Envoys(), Resources()
        away, tokens, names = Away(), Tokens(), Uncounted(self.directory)
        self.secrets = SecretCache(away)
        self.platform = PlatformCertificate(away, PLATFORM)
        self.policy = Policy(names, tokens, self.edges)
        self.resolver = Resolver(names, away, self.secrets, self.platform, EdgeSecrets(self.edges, away))
        self.explain = Explain(
            self.directory,
            away,
            self.policy,
            self.resolver,
            CertificateSection(self.secrets, self.platform),
            ServiceSection(self.edges, self.to_come, self.resources, self.envoys),
            ClientAuthSection(self.edges, self.envoys),
            self.envoys,
            self.readiness,
            lambda: self.last_error,
            "request",
        )

    def readiness(self) -> Readiness:
        return Readiness(True, None, self.directory.stale, self.directory.complete, 7, 0.1, len(self.directory))
