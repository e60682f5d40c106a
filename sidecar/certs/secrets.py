"""Certificates of tenants' domains in memory, each fetched from Vault when first needed, and Envoy's form of them.

A certificate is kept under its row's hostname together with the (fingerprint, Vault version) that it was fetched
for, so a renewal is a new fetch, and the old one stays until the new one is here: when that cannot be fetched, or is
not fit to be served, a stale but valid certificate is better than none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, Protocol
from uuid import UUID

import structlog
from cachetools import Cache, LRUCache, TLRUCache

from core.certificate import Certificate, CertificateError
from core.trace import NOTHING
from core.vault import certificate_path, upload_path
from sidecar.certs.vault_answers import VaultDenied, VaultError, VaultNotFound, VaultRecord, VaultUnavailable
from sidecar.wire import discovery_pb2, secret_pb2

SECRET_TYPE: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105 -- a type's name

CAPACITY: Final = 20_000  # certificates; about 5 KB each. Envoy keeps its own copy, so an evicted one is seldom missed
# How long a certificate that Vault does not have, or that is not fit, is taken for so. Handshakes for such a name
# cost Vault one read in so many seconds; a standby node that lags behind is forgiven soon.
FAILURE_LIFETIME: Final = 5.0
UNAVAILABLE_LIFETIME: Final = 0.5  # the same, when the failure is likely to pass by itself
FAILURES: Final = 10_000
TROUBLES: Final = 1_000  # names whose last failure is remembered for who asks, though it counts no more

log = structlog.stdlib.get_logger(__name__)


class Wanted(Protocol):
    """The part of a directory entry that says which certificate to serve."""

    @property
    def hostname(self) -> str: ...
    @property
    def domain_id(self) -> str: ...
    @property
    def fingerprint(self) -> str | None: ...
    @property
    def vault_version(self) -> int | None: ...
    @property
    def uploaded(self) -> bool: ...


class Reader(Protocol):
    """Vault, for those who only read from it."""

    async def read(self, path: str, version: int | None = None) -> VaultRecord: ...


@dataclass(frozen=True, slots=True)
class Trouble:
    """The last failure to have a certificate. `at`: Unix seconds."""

    code: str
    message: str
    at: float


@dataclass(frozen=True, slots=True)
class LoadedCertificate:
    """A certificate that passed its checks. `facts`: without the PEM, which is in `_tls` already.

    `version`: what Envoy is told. It follows from the fingerprint, the Vault version and its path alone, so that the
    sidecar knows without asking Vault whether an Envoy that reconnects has the right one. `instead`: it stands in for
    the uploaded certificate, which cannot be had for this reason.
    """

    facts: Certificate
    version: str
    _tls: bytes = field(repr=False)
    instead: Trouble | None = None

    @classmethod
    def create(
        cls, certificate: Certificate, vault_version: int | None, *, uploaded: bool = False
    ) -> LoadedCertificate:
        tls = secret_pb2.TlsCertificate(
            certificate_chain=secret_pb2.DataSource(inline_bytes=certificate.chain_pem.encode()),
            private_key=secret_pb2.DataSource(inline_bytes=certificate.key_pem.encode()),
        )
        return cls(
            facts=replace(certificate, chain_pem="", key_pem=""),
            version=version_of(certificate.fingerprint, vault_version, uploaded),
            _tls=tls.SerializeToString(),
        )

    def check(self, host: str | None) -> None:
        """Raise CertificateError unless it can be served now for `host` (normal form; None: no name was asked for)."""
        self.facts.check(host if host is not None else self.facts.names[0], datetime.now(UTC))

    def check_dates(self) -> None:
        """Raise CertificateError unless it is valid now."""
        self.facts.check_dates(datetime.now(UTC))

    def secret(self, name: str) -> bytes:
        """Envoy's Secret under `name`, as an encoded Any."""
        secret = secret_pb2.Secret(name=name, tls_certificate=self._tls)
        message = discovery_pb2.Any(type_url=SECRET_TYPE, value=secret.SerializeToString())
        return bytes(message.SerializeToString())


def version_of(fingerprint: str, vault_version: int | None, uploaded: bool = False) -> str:
    """Uploaded and managed certificates are numbered apart, and one may be the other's very leaf with another chain."""
    return f"{fingerprint[:32]}.{'u' if uploaded else ''}{vault_version or 0}"


Key = tuple[str, str | None, int | None, bool]  # hostname, fingerprint, Vault version, whether it was uploaded


@dataclass(frozen=True, slots=True)
class Kept:
    """`key`, `domain_id`: what the certificate was fetched for."""

    key: Key
    domain_id: str
    certificate: LoadedCertificate


@dataclass(frozen=True, slots=True)
class Flight:
    """A fetch under way."""

    key: Key
    task: asyncio.Task[LoadedCertificate]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an entry's certificate. `current`: `certificate` is the one that the entry asks for."""

    certificate: LoadedCertificate | None = None
    current: bool = False
    trouble: Trouble | None = None


def fresh(error: VaultError | CertificateError) -> VaultError | CertificateError:
    """The same without its traceback, whose frames hold what was read, private keys included."""
    return CertificateError(error.code, error.message) if isinstance(error, CertificateError) else error.again()


def _key(entry: Wanted) -> Key:
    return entry.hostname, entry.fingerprint, entry.vault_version, entry.uploaded


def _forgiven_at(_key: Key, error: VaultError | CertificateError, now: float) -> float:
    return now + (UNAVAILABLE_LIFETIME if isinstance(error, VaultUnavailable) else FAILURE_LIFETIME)


class SecretCache:
    """A bounded LRU over Vault. Concurrent fetches of one certificate are one read (single flight).

    `fetching`: entered by each fetch with its hostname, for traces.
    `fetches`, `failures`: counts; `fetch_seconds`: their sum.
    """

    def __init__(self, vault: Reader, *, capacity: int = CAPACITY) -> None:
        self._vault = vault
        self.fetching: Callable[[str], AbstractContextManager[object]] = lambda _hostname: NOTHING
        self._kept: LRUCache[str, Kept] = LRUCache(capacity)
        self._failed: TLRUCache[Key, VaultError | CertificateError] = TLRUCache(FAILURES, _forgiven_at)
        self._troubles: LRUCache[str, Trouble] = LRUCache(TROUBLES)  # by hostname
        self._under_way: dict[str, Flight] = {}  # by hostname
        self._tasks: set[asyncio.Task[LoadedCertificate]] = set()  # those and the ones whose result is not kept
        self.fetches = 0
        self.failures = 0
        self.fetch_seconds = 0.0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, entry: Wanted) -> LoadedCertificate | None:
        """The entry's certificate if it is in memory. No I/O."""
        kept = self._kept.get(entry.hostname)
        if kept is not None and kept.key == _key(entry):
            return kept.certificate
        return None

    def stale(self, entry: Wanted) -> LoadedCertificate | None:
        """An earlier certificate of the entry's domain, for when its own cannot be had.

        Not one of another tenant, whose domain was deleted while no change could be read.
        """
        kept = self._kept.get(entry.hostname)
        return kept.certificate if kept is not None and kept.domain_id == entry.domain_id else None

    def known(self, entry: Wanted) -> Known:
        """For who explains: no I/O, and nothing becomes more recently used. Not of another tenant's domain."""
        trouble = self._troubles.get(entry.hostname)
        kept = self._peek(entry.hostname)
        if kept is None or kept.domain_id != entry.domain_id:
            return Known(trouble=trouble)
        return Known(kept.certificate, kept.key == _key(entry), trouble)

    async def fetch(self, entry: Wanted) -> LoadedCertificate:
        """The entry's certificate, from memory or from Vault. Raises VaultError, CertificateError.

        A fetch goes on when its caller gives up, so the next one finds it in memory.
        """
        if (found := self.get(entry)) is not None:
            return found
        key = _key(entry)
        if (failure := self._failed.get(key)) is not None:
            raise fresh(failure)
        flight = self._under_way.get(entry.hostname)
        if flight is None or flight.key != key:
            task = asyncio.create_task(self._fetch(entry), name=f"fetch {entry.hostname}")
            flight = Flight(key, task)
            self._under_way[entry.hostname] = flight
            self._tasks.add(task)
            task.add_done_callback(lambda done: self._done(key, done))
        return await asyncio.shield(flight.task)

    def forget(self, hostname: str) -> None:
        """The hostname is no longer served: its key leaves this process's memory."""
        self._kept.pop(hostname, None)
        self._troubles.pop(hostname, None)
        self._under_way.pop(hostname, None)  # so that its result is not kept

    def expiries(self) -> Iterator[tuple[str, float]]:
        """Hostname and end of validity (Unix seconds) of every certificate in memory."""
        for hostname in self._kept:
            if (kept := self._peek(hostname)) is not None:
                yield hostname, kept.certificate.facts.not_after.timestamp()

    def _peek(self, hostname: str) -> Kept | None:
        """A look that makes nothing more recently used."""
        return Cache.__getitem__(self._kept, hostname) if hostname in self._kept else None

    async def close(self) -> None:
        """End the fetches under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _fetch(self, entry: Wanted) -> LoadedCertificate:
        started = time.perf_counter()
        try:
            with self.fetching(entry.hostname):
                certificate = await self._read(entry)
        except (VaultError, CertificateError) as error:
            self.failures += 1
            self._troubles[entry.hostname] = Trouble(error.code, error.message, time.time())
            if not isinstance(error, VaultUnavailable):  # which Vault's client logs once, not for each name
                log.warning(
                    "certificate_not_loaded",
                    hostname=entry.hostname,
                    vault_version=entry.vault_version,
                    code=error.code,
                    reason=error.message,
                )
            raise
        finally:
            self.fetches += 1
            self.fetch_seconds += time.perf_counter() - started
        flight = self._under_way.get(entry.hostname)
        if certificate.instead is not None:  # not kept: the right one is looked for again
            self._troubles[entry.hostname] = certificate.instead
        elif flight is not None and flight.task is asyncio.current_task():
            self._kept[entry.hostname] = Kept(flight.key, entry.domain_id, certificate)
            self._troubles.pop(entry.hostname, None)
        return certificate

    async def _read(self, entry: Wanted) -> LoadedCertificate:
        """For an uploaded certificate that cannot be had the managed one stands in.

        It may be withdrawn, and destroyed before the change that says so came here; or have run out while control is
        away; or Vault's policy may not know of uploads yet.
        """
        domain_id = UUID(entry.domain_id)
        managed = certificate_path(domain_id)
        if not entry.uploaded:
            return await self._checked(entry, managed, entry.vault_version)
        try:
            return await self._checked(entry, upload_path(domain_id), entry.vault_version, uploaded=True)
        except (VaultNotFound, VaultDenied, CertificateError) as error:
            first = fresh(error)
        try:
            certificate = await self._checked(entry, managed, None)
        except (VaultNotFound, CertificateError):
            raise first from None
        log.warning("upload_not_loaded", hostname=entry.hostname, code=first.code, reason=first.message)
        return replace(certificate, instead=Trouble(first.code, first.message, time.time()))

    async def _checked(
        self, entry: Wanted, path: str, version: int | None, *, uploaded: bool = False
    ) -> LoadedCertificate:
        record = await self._record(path, version)
        certificate = Certificate.from_vault(dict(record.data))
        certificate.check(entry.hostname, datetime.now(UTC))
        if certificate.fingerprint != entry.fingerprint:
            log.info("certificate_other_than_announced", hostname=entry.hostname, vault_version=record.version)
        return LoadedCertificate.create(certificate, record.version, uploaded=uploaded)

    async def _record(self, path: str, version: int | None) -> VaultRecord:
        """That version, or else the newest: control writes Vault before PostgreSQL, so when one was destroyed the
        change that announces a newer is on its way, and that one is fit to be served if it passes the checks."""
        try:
            return await self._vault.read(path, version)
        except VaultNotFound:
            if version is None:
                raise
            return await self._vault.read(path)

    def _done(self, key: Key, task: asyncio.Task[LoadedCertificate]) -> None:
        self._tasks.discard(task)
        flight = self._under_way.get(key[0])
        if flight is not None and flight.task is task:
            del self._under_way[key[0]]
        if task.cancelled():
            return
        error = task.exception()  # asked for, so that a failure nobody waits for is not reported as unseen
        if isinstance(error, VaultError | CertificateError):
            self._failed[key] = fresh(error)
