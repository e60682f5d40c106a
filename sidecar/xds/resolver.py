"""What to say about one secret name. In this order:

1. `default` → the platform's certificate. Envoy asks for it when a client sends no SNI.
2. A name of the edge (sidecar.edge.secrets) → what the edge has under it, a client certificate for upstreams by the
   way of 6; or removed, if the edge is loaded and has none.
   Any other name that is not a valid SNI (an IP address, a final dot, `..`, 254 characters) → removed.
3. The directory knows that it is absent, or it has no certificate yet → removed, without I/O.
4. The directory does not know → its source loads it; then 3, 5 and 6.
5. A platform subdomain → the platform's certificate under the asked name.
6. A certificate → the secret cache, or else Vault. The version is known without either, so nothing is fetched for a
   client that has it.
7. What cannot be had now (PostgreSQL or Vault away, Vault without that version, a pair that is not fit) is a `Failed`:
   a client that has a certificate keeps it, for a cold name the handshake must fail at once and not at Envoy's own
   timeout, and in both cases it is tried again (sidecar.xds.stream).

This file does not know of streams: `held` is the version that need not be sent, because the client has it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

from core.certificate import CertificateError
from core.hostname import normalize_sni
from sidecar.certs.edge import EdgeSecrets
from sidecar.certs.identities import WantedIdentity
from sidecar.certs.platform import PlatformCertificate
from sidecar.certs.secrets import LoadedCertificate, SecretCache, version_of
from sidecar.certs.vault_answers import VaultError, VaultUnavailable
from sidecar.directory.entry import Entry, Unknown
from sidecar.directory.errors import LoadFailed
from sidecar.edge.secrets import is_edge_secret

DEFAULT_NAME: Final = "default"  # `default_value` of Envoy's SNI certificate mapper

# Seconds until a cold name is given up, PostgreSQL and Vault together. Below the 5 s of Envoy's
# transport_socket_connect_timeout, so that the client gets an alert and not a closed connection.
ANSWER_DEADLINE: Final = 3.0

# Seconds after which Vault is asked a second time for a waiting handshake, in case one answer was lost. Longer than
# sidecar.certs.vault.HOLD_OFF and sidecar.certs.secrets.UNAVAILABLE_LIFETIME, which would fail it without asking.
SECOND_TRY: Final = 0.6


class Outcome(Enum):
    """Why a name is answered as removed; the names of counters."""

    UNKNOWN = "removed_unknown"
    INVALID = "removed_invalid"  # not a hostname, or too many spellings of one
    UNAVAILABLE = "removed_unavailable"
    UNFIT = "removed_unfit"  # the certificate does not pass its checks, or the client has rejected it


@dataclass(frozen=True, slots=True)
class Served:
    """`resource`: Envoy's Secret as an encoded Any."""

    version: str
    resource: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Removed:
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Failed:
    """Not known now. `outcome`: what a client without a certificate is told. `instead`: an earlier certificate."""

    outcome: Outcome
    instead: Served | None = None


class Later(Enum):
    UNCHANGED = "unchanged"  # the client has it
    LOAD = "load"  # needs I/O: `Resolver.load`


Answer = Served | Removed | Failed | Later


class Names(Protocol):
    """The directory (sidecar.directory.directory)."""

    @property
    def stale(self) -> bool: ...

    def lookup(self, host: str) -> Entry | Unknown: ...


class Loader(Protocol):
    """What knows the names that the directory does not (sidecar.directory.source)."""

    async def load(self, host: str) -> Entry | None: ...


class Resolver:
    def __init__(
        self,
        names: Names,
        loader: Loader,
        secrets: SecretCache,
        platform: PlatformCertificate,
        edge: EdgeSecrets,
    ) -> None:
        self._names = names
        self._loader = loader
        self._secrets = secrets
        self._platform = platform
        self._edge = edge

    def resolve(self, name: str, held: str | None) -> Answer:
        """The answer that can be given without I/O."""
        if name == DEFAULT_NAME:
            return self._served_by_platform(name, None, held)
        if is_edge_secret(name):
            return self._known_to_edge(name, held)
        host = normalize_sni(name)
        if host is None:
            return Removed(Outcome.INVALID)
        found = self._names.lookup(host)
        if found is Unknown.MISS:
            return Later.LOAD
        return self._known(name, host, found if isinstance(found, Entry) else None, held)

    async def load(self, name: str, held: str | None) -> Answer:
        """The answer, by I/O where needed. Never LOAD; takes at most ANSWER_DEADLINE."""
        if is_edge_secret(name):
            return await self._load_of_edge(name, held)
        host = normalize_sni(name)
        entry = None
        try:
            async with asyncio.timeout(ANSWER_DEADLINE):
                if host is not None:
                    found = self._names.lookup(host)
                    entry = await self._loader.load(host) if isinstance(found, Unknown) else found
                    answer = self._known(name, host, entry, held)
                else:
                    answer = self.resolve(name, held)
                if answer is not Later.LOAD:
                    return answer
                return self._serve(name, host, await self._fetch(entry), held)
        except (LoadFailed, VaultError, TimeoutError):
            return Failed(Outcome.UNAVAILABLE, self._instead(name, host, entry))
        except CertificateError:
            return Failed(Outcome.UNFIT, self._instead(name, host, entry))

    async def _fetch(self, entry: Entry | None) -> LoadedCertificate:
        """The entry's certificate, or else the platform's. Raises VaultError, CertificateError."""
        try:
            return await self._fetch_once(entry)
        except VaultUnavailable:
            await asyncio.sleep(SECOND_TRY)
            return await self._fetch_once(entry)

    async def _fetch_once(self, entry: Entry | None) -> LoadedCertificate:
        if entry is not None and not entry.platform:
            return await self._secrets.fetch(entry)
        return await self._platform.load()

    def _known_to_edge(self, name: str, held: str | None) -> Answer:
        if not self._edge.loaded:
            return Failed(Outcome.UNAVAILABLE)
        wanted = self._edge.identity(name)
        if wanted is not None:
            if held == wanted.version:
                return Later.UNCHANGED
            certificate = self._edge.identities.get(wanted)
            return Later.LOAD if certificate is None else self._serve_identity(name, certificate, held)
        context = self._edge.context(name)
        if context is None:
            return Failed(Outcome.UNKNOWN) if self._names.stale else Removed(Outcome.UNKNOWN)
        return Later.UNCHANGED if context.version == held else Served(context.version, context.resource)

    async def _load_of_edge(self, name: str, held: str | None) -> Answer:
        answer = self._known_to_edge(name, held)
        wanted = self._edge.identity(name)
        if answer is not Later.LOAD or wanted is None:
            return answer
        try:
            async with asyncio.timeout(ANSWER_DEADLINE):
                return self._serve_identity(name, await self._fetch_identity(wanted), held)
        except (VaultError, TimeoutError):
            outcome = Outcome.UNAVAILABLE
        except CertificateError:
            outcome = Outcome.UNFIT
        earlier = self._edge.identities.stale(wanted)
        instead = self._serve_identity(name, earlier, None) if earlier is not None else None
        return Failed(outcome, instead if isinstance(instead, Served) else None)

    async def _fetch_identity(self, wanted: WantedIdentity) -> LoadedCertificate:
        try:
            return await self._edge.identities.fetch(wanted)
        except VaultUnavailable:
            await asyncio.sleep(SECOND_TRY)
            return await self._edge.identities.fetch(wanted)

    def _serve_identity(self, name: str, certificate: LoadedCertificate, held: str | None) -> Answer:
        if certificate.version == held:
            return Later.UNCHANGED
        try:
            certificate.check_dates()
        except CertificateError:
            return Failed(Outcome.UNFIT)
        return Served(certificate.version, certificate.secret(name))

    def _known(self, name: str, host: str, entry: Entry | None, held: str | None) -> Answer:
        if entry is None:
            # What a stale directory does not have may have been added since: not a reason to take it from Envoy.
            return Failed(Outcome.UNKNOWN) if self._names.stale else Removed(Outcome.UNKNOWN)
        if entry.platform:
            return self._served_by_platform(name, host, held)
        fingerprint = entry.fingerprint  # made anew each time
        if fingerprint is None:
            return Removed(Outcome.UNKNOWN)
        if held is not None and held == version_of(fingerprint, entry.vault_version, entry.uploaded):
            return Later.UNCHANGED
        certificate = self._secrets.get(entry)
        return Later.LOAD if certificate is None else self._serve(name, host, certificate, held)

    def _served_by_platform(self, name: str, host: str | None, held: str | None) -> Answer:
        certificate = self._platform.current
        return Later.LOAD if certificate is None else self._serve(name, host, certificate, held)

    def _serve(self, name: str, host: str | None, certificate: LoadedCertificate, held: str | None) -> Answer:
        if certificate.version == held:
            return Later.UNCHANGED
        try:
            certificate.check(host)
        except CertificateError:
            return Failed(Outcome.UNFIT)
        return Served(certificate.version, certificate.secret(name))

    def _instead(self, name: str, host: str | None, entry: Entry | None) -> Served | None:
        certificate = self._secrets.stale(entry) if entry is not None else None
        answer = self._serve(name, host, certificate, None) if certificate is not None else None
        return answer if isinstance(answer, Served) else None
