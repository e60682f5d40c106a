"""The discovery service in this process, on a real Vault: a directory to write in, gRPC on a socket, two clients."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from scenes.edges import edges
from scenes.entries import changed

from core.certificate import Certificate
from core.vault import DEFAULT_CERTIFICATE, certificate_path, upload_path
from core.vault_login import AppRole
from embedded.ports import free_port
from embedded.vault_mount import VaultMount
from sidecar.certs.edge import EdgeSecrets
from sidecar.certs.platform import PlatformCertificate
from sidecar.certs.secrets import SECRET_TYPE, SecretCache
from sidecar.certs.vault import Vault
from sidecar.directory.budget import Budget
from sidecar.directory.directory import Directory
from sidecar.directory.entry import Entry, PlatformDomain
from sidecar.directory.postgres import Postgres
from sidecar.directory.rows import Everything
from sidecar.directory.source import Source
from sidecar.edge.table import EdgeTable
from sidecar.grpcfast import Server
from sidecar.wire import discovery_pb2 as wire
from sidecar.wire import secret_pb2
from sidecar.xds import methods as xds
from sidecar.xds.configurations import ConfigurationTable
from sidecar.xds.ended import EndedRegistrations
from sidecar.xds.service import DiscoveryService

PLATFORM = "platform.test"
HOUR = 3600.0

LOADS_PER_SECOND = 1000


class Authority:
    """A root and an intermediate in memory, so that a certificate of any shape costs a millisecond."""

    def __init__(self) -> None:
        self._root_key, self._key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self._root_name, self._name = (
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("Test Root", "Test CA")
        )
        root = self._build(self._root_name, self._root_key.public_key(), self._root_name, self._root_key, ca=True)
        self.root_pem = _pem(root)
        self._intermediate = self._build(self._name, self._key.public_key(), self._root_name, self._root_key, ca=True)

    def issue(
        self,
        *names: str,
        key: ec.EllipticCurvePrivateKey | None = None,
        since: timedelta = timedelta(hours=-1),
        until: timedelta = timedelta(days=30),
    ) -> Certificate:
        """Leaf and intermediate for the DNS names, valid from `since` until `until` from now."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        leaf = self._build(
            x509.Name([]), key.public_key(), self._name, self._key, names=names, since=since, until=until
        )
        key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return Certificate.parse(_pem(leaf) + _pem(self._intermediate), key_pem)

    def _build(
        self,
        subject: x509.Name,
        public_key: ec.EllipticCurvePublicKey,
        issuer: x509.Name,
        issuer_key: ec.EllipticCurvePrivateKey,
        *,
        names: Sequence[str] = (),
        ca: bool = False,
        since: timedelta = timedelta(hours=-1),
        until: timedelta = timedelta(days=30),
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        usage = dict.fromkeys(
            ["content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"], False
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + since)
            .not_valid_after(now + until)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, decipher_only=False, **usage),
                critical=True,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        )
        if names:
            alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            builder = builder.add_extension(alternatives, critical=not subject.rdns)
        return builder.sign(issuer_key, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


@dataclass(frozen=True, slots=True)
class Serving:
    server: Server
    listener: asyncio.Server


@dataclass(slots=True)
class Room:
    """`directory` is complete; what is written into it is announced as the feed would."""

    mount: VaultMount
    authority: Authority
    vault: Vault
    directory: Directory
    source: Source
    secrets: SecretCache
    platform: PlatformCertificate
    service: DiscoveryService
    configurations: ConfigurationTable
    socket: Path
    _serving: Serving = field(repr=False)
    edge: EdgeTable
    edge_secrets: EdgeSecrets

    @property
    def server(self) -> Server:
        return self._serving.server

    async def store(self, path: str, certificate: Certificate) -> int:
        """Write to Vault as control does. Returns the version."""
        answer = await self.mount.openbao.request(
            "POST", f"{self.mount.path}/data/{path}", {"data": certificate.to_vault()}
        )
        return int(answer["data"]["version"])

    async def store_platform(self, *names: str) -> Certificate:
        certificate = self.authority.issue(*(names or (f"*.{PLATFORM}",)))
        await self.store(DEFAULT_CERTIFICATE, certificate)
        return certificate

    async def add(self, hostname: str, *names: str, **shape: Any) -> Entry:
        """A live domain with a certificate for `names` (the hostname)."""
        domain_id = uuid4()
        certificate = self.authority.issue(*(names or (hostname,)), **shape)
        version = await self.store(certificate_path(domain_id), certificate)
        entry = Entry(
            hostname=hostname,
            tenant_id=str(uuid4()),
            domain_id=str(domain_id),
            live=True,
            fingerprint=certificate.fingerprint,
            vault_version=version,
            not_after=certificate.not_after.timestamp(),
            platform=False,
        )
        self.put(entry)
        return entry

    async def renew(self, entry: Entry, **shape: Any) -> Entry:
        """A newer certificate in Vault and in the directory."""
        certificate = self.authority.issue(entry.hostname, **shape)
        version = await self.store(certificate_path(_uuid(entry.domain_id)), certificate)
        renewed = changed(entry, fingerprint=certificate.fingerprint, vault_version=version)
        self.put(renewed)
        return renewed

    async def upload(self, entry: Entry, *names: str, **shape: Any) -> Entry:
        """Its tenant's own certificate, in Vault and in the directory."""
        certificate = self.authority.issue(*(names or (entry.hostname,)), **shape)
        version = await self.store(upload_path(_uuid(entry.domain_id)), certificate)
        uploaded = changed(entry, fingerprint=certificate.fingerprint, vault_version=version, uploaded=True)
        self.put(uploaded)
        return uploaded

    def add_platform(self, slug: str) -> Entry:
        entry = Entry(f"{slug}.{PLATFORM}", str(uuid4()), "", True, None, None, None, True)
        self.put(entry)
        return entry

    def put(self, *entries: Entry) -> None:
        self.directory.apply({entry.hostname: entry for entry in entries})
        self.service.on_change(frozenset(entry.hostname for entry in entries))

    def remove(self, *hostnames: str) -> None:
        self.directory.apply(dict.fromkeys(hostnames))
        self.service.on_change(frozenset(hostnames))

    def channel(self) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(f"unix:{self.socket}", options=[("grpc.use_local_subchannel_pool", 1)])

    async def stop(self) -> None:
        """End the gRPC server as the sidecar does; its streams end at once."""
        self._serving.listener.close()
        self.server.drain()
        self.service.close()
        await self.server.wait_closed(1.0)

    async def start_again(self) -> None:
        self._serving = await _serve(self.service, self.socket)


def _uuid(text: str) -> Any:
    from uuid import UUID

    return UUID(text)


async def _serve(service: DiscoveryService, socket: Path) -> Serving:
    server = Server(xds.methods(service))
    socket.unlink(missing_ok=True)
    return Serving(server, await asyncio.get_running_loop().create_unix_server(server.protocol, socket))


@contextlib.asynccontextmanager
async def room(
    mount: VaultMount, directory_path: Path, *, dsn: str | None = None, platform_interval: float = HOUR
) -> AsyncIterator[Room]:
    """`dsn`: for names that the directory does not know; None: a PostgreSQL that is away."""
    domain = PlatformDomain(PLATFORM)
    directory = Directory(domain, capacity=1000)
    directory.replace(Everything())
    directory.fresh_for(HOUR)
    postgres = Postgres(dsn or f"postgresql://nobody@127.0.0.1:{free_port()}/none", domain)
    source = Source(directory, postgres, Budget(LOADS_PER_SECOND))
    async with Vault(
        mount.url, mount=mount.path, login=AppRole(mount.sidecar.role_id, lambda: mount.sidecar.secret_id)
    ) as vault:
        secrets = SecretCache(vault)
        platform = PlatformCertificate(vault, PLATFORM, interval=platform_interval)
        configurations = ConfigurationTable()
        table = edges()
        edge = EdgeSecrets(table, vault)
        service = DiscoveryService(directory, source, secrets, platform, EndedRegistrations(), edge, configurations)
        socket = directory_path / "xds.sock"
        made = Room(
            mount,
            Authority(),
            vault,
            directory,
            source,
            secrets,
            platform,
            service,
            configurations,
            socket,
            await _serve(service, socket),
            table,
            edge,
        )
        try:
            yield made
        finally:
            await made.stop()
            await secrets.close()
            await edge.identities.close()
            await platform.close()
            source.close()
            postgres.close()


@dataclass(frozen=True, slots=True)
class Said:
    """One response. `served`: name → version; `removed`: names."""

    nonce: str
    served: dict[str, str]
    removed: tuple[str, ...]
    resources: tuple[bytes, ...] = field(repr=False)

    def certificate(self) -> Certificate:
        """Of the one secret in it."""
        (resource,) = self.resources
        return certificate_in(resource)


def certificate_in(resource: bytes) -> Certificate:
    message = wire.Any.FromString(resource)
    assert message.type_url == SECRET_TYPE
    secret = secret_pb2.Secret.FromString(message.value)
    tls = secret_pb2.TlsCertificate.FromString(secret.tls_certificate)
    return Certificate.parse(tls.certificate_chain.inline_bytes.decode(), tls.private_key.inline_bytes.decode())


def name_in(resource: bytes) -> str:
    return str(secret_pb2.Secret.FromString(wire.Any.FromString(resource).value).name)


class DeltaClient:
    """A delta client that acknowledges what it reads, unless told not to."""

    def __init__(self, channel: grpc.aio.Channel, *, aggregated: bool = True) -> None:
        method = "DeltaAggregatedResources" if aggregated else "DeltaSecrets"
        service = xds.AGGREGATED if aggregated else xds.SECRETS
        self._call = channel.stream_stream(f"/{service}/{method}")()
        self.held: dict[str, str] = {}
        self.received: list[Said] = []

    async def send(self, **fields: Any) -> None:
        fields.setdefault("type_url", SECRET_TYPE)
        await self._call.write(wire.DeltaDiscoveryRequest(**fields).SerializeToString())

    async def subscribe(self, *names: str, **fields: Any) -> None:
        await self.send(resource_names_subscribe=names, **fields)

    async def unsubscribe(self, *names: str) -> None:
        for name in names:
            self.held.pop(name, None)
        await self.send(resource_names_unsubscribe=names)

    async def read(self, *, acknowledge: bool = True, timeout: float = 10.0) -> Said:
        async with asyncio.timeout(timeout):
            data = await self._call.read()
        assert data is not grpc.aio.EOF, "the stream ended"
        response = wire.DeltaDiscoveryResponse.FromString(data)
        assert response.type_url == SECRET_TYPE
        said = Said(
            response.nonce,
            {item.name: item.version for item in response.resources},
            tuple(response.removed_resources),
            tuple(item.resource for item in response.resources),
        )
        assert said.nonce not in {earlier.nonce for earlier in self.received}
        assert len(said.served) <= 1
        assert all(name_in(item.resource) == item.name for item in response.resources)
        self.received.append(said)
        self.held.update(said.served)
        for name in said.removed:
            self.held.pop(name, None)
        if acknowledge:
            await self.send(response_nonce=said.nonce)
        return said

    async def read_until(self, enough: Callable[[], bool]) -> None:
        while not enough():
            await self.read()

    async def nothing_is_said(self) -> None:
        """Ask for a name that nobody has: when it is answered first, nothing else was waiting."""
        probe = f"probe-{len(self.received)}.nobody.test"
        await self.subscribe(probe)
        said = await self.read()
        assert (said.served, said.removed) == ({}, (probe,)), said
        await self.unsubscribe(probe)

    async def nothing_is_said_beside_a_wildcard(self) -> None:
        """The same; there the unsubscription has an answer of its own."""
        await self.nothing_is_said()
        (gone,) = (await self.read()).removed
        assert gone.startswith("probe-")

    async def reject(self, said: Said, reason: str) -> None:
        await self.send(response_nonce=said.nonce, error_detail=wire.Status(code=13, message=reason))

    def close(self) -> None:
        self._call.cancel()

    async def ended(self) -> grpc.StatusCode:
        async with asyncio.timeout(10):
            return await self._call.code()
