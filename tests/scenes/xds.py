"""The discovery services in this process with configurations and no certificates, on a socket; clients of all variants.

The clients are of grpcio, so what they read is what another implementation of gRPC makes of our bytes. Resources are no
real ones: to the protocol a resource is a name and bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from core.vault_login import AppRole
from embedded.ports import free_port
from sidecar.certs.edge import EdgeSecrets
from sidecar.certs.platform import PlatformCertificate
from sidecar.certs.secrets import SecretCache
from sidecar.certs.vault import Vault
from sidecar.directory.budget import Budget
from sidecar.directory.directory import Directory
from sidecar.directory.entry import PlatformDomain
from sidecar.directory.postgres import Postgres
from sidecar.directory.rows import Everything
from sidecar.directory.source import Source
from sidecar.edge.table import EdgeTable
from sidecar.grpcfast import Server
from sidecar.wire import discovery_pb2 as wire
from sidecar.xds import methods as xds
from sidecar.xds.configurations import ConfigurationTable, Encoded
from sidecar.xds.ended import EndedRegistrations
from sidecar.xds.service import DiscoveryService
from sidecar.xds.types import CLUSTER, ENDPOINT, LISTENER, ROUTE

PATIENCE = 10.0
PLATFORM = "platform.test"
ALL = (CLUSTER, ENDPOINT, LISTENER, ROUTE)
WORDS = {type_url: (service, word) for service, word, type_url in xds.SINGLE}


async def until(condition: Callable[[], object]) -> None:
    """Wait until it is true."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


def encoded(type_url: str, name: str, version: str = "1") -> Encoded:
    """A resource whose first field is its name, as in all four types. Its version is said as it is."""
    message = wire.Any(type_url=name, value=version.encode())
    return Encoded(version, Encoded.of(type_url, message.SerializeToString()).resource)


def name_and_version(resource: bytes) -> tuple[str, str]:
    message = wire.Any.FromString(wire.Any.FromString(resource).value)
    return message.type_url, message.value.decode()


@dataclass(slots=True)
class Room:
    """`world`: by type, name → version; `put` it to have it told."""

    service: DiscoveryService
    table: ConfigurationTable
    socket: Path
    world: dict[str, dict[str, str]] = field(default_factory=lambda: {type_url: {} for type_url in ALL})
    _server: Server = field(init=False, repr=False)
    _listener: asyncio.Server = field(init=False, repr=False)

    async def start(self) -> None:
        self._server = Server(xds.methods(self.service))
        self.socket.unlink(missing_ok=True)
        self._listener = await asyncio.get_running_loop().create_unix_server(self._server.protocol, self.socket)

    async def stop(self) -> None:
        """As the sidecar does; streams end in good order."""
        self._listener.close()
        self._server.drain()
        self.service.close()
        await self._server.wait_closed(1.0)

    def put(self, type_url: str, *names: str, version: str = "1") -> None:
        """These are there now, in this version; the others stay."""
        self.world[type_url].update(dict.fromkeys(names, version))
        self.tell(type_url)

    def remove(self, type_url: str, *names: str) -> None:
        for name in names:
            del self.world[type_url][name]
        self.tell(type_url)

    def tell(self, *type_urls: str, versions: Mapping[str, str] | None = None) -> None:
        """As one change."""
        self.table.replace(
            {
                type_url: {name: encoded(type_url, name, version) for name, version in self.world[type_url].items()}
                for type_url in type_urls
            },
            versions,
        )

    async def rejected(self, type_url: str, expected: Mapping[str, tuple[str, str]]) -> None:
        """Wait until this is what clients reject: name → version, reason."""

        def found() -> dict[str, tuple[str, str]]:
            refusals = self.service.envoys.rejected(type_url)
            return {name: (refusal.version, refusal.reason) for name, refusal in refusals.items()}

        await until(lambda: found() == expected)

    async def seen(self, client: Client) -> None:
        """Wait until the server, of whom it is the only client, has read what it sent."""
        (stream,) = self.service.envoys
        await until(lambda: stream.requests >= client.requests)

    def channel(self) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(f"unix:{self.socket}", options=[("grpc.use_local_subchannel_pool", 1)])


@contextlib.asynccontextmanager
async def room(directory_path: Path) -> AsyncIterator[Room]:
    """Everything is known, and empty."""
    directory = Directory(PlatformDomain(PLATFORM), capacity=100)
    directory.replace(Everything())
    directory.fresh_for(3600.0)
    postgres = Postgres(f"postgresql://nobody@127.0.0.1:{free_port()}/none", PlatformDomain(PLATFORM))
    source = Source(directory, postgres, Budget(100))
    async with Vault(f"http://127.0.0.1:{free_port()}", mount="kv", login=AppRole("r", lambda: "s")) as vault:
        secrets, platform, table = SecretCache(vault), PlatformCertificate(vault, PLATFORM), ConfigurationTable()
        edge = EdgeSecrets(EdgeTable(), vault)
        service = DiscoveryService(directory, source, secrets, platform, EndedRegistrations(), edge, table)
        made = Room(service, table, directory_path / "xds.sock")
        made.tell(*ALL)
        await made.start()
        try:
            yield made
        finally:
            await made.stop()
            await secrets.close()
            await platform.close()
            source.close()
            postgres.close()


@dataclass(frozen=True, slots=True)
class Said:
    """One response. `resources`: name → version. `whole`: the version of the type."""

    type_url: str
    nonce: str
    whole: str
    resources: dict[str, str]
    removed: tuple[str, ...] = ()


class Client(ABC):
    """It acknowledges what it reads, unless told not to. `held`: by type, what it was told and has not rejected."""

    def __init__(self, channel: grpc.aio.Channel, path: str) -> None:
        self._call = channel.stream_stream(path)()
        self.held: dict[str, dict[str, str]] = {}
        self.received: list[Said] = []
        self.requests = 0

    async def send(self, request: Any) -> None:
        self.requests += 1
        await self._call.write(request.SerializeToString())

    async def read(self, *, acknowledge: bool = True) -> Said:
        async with asyncio.timeout(PATIENCE):
            data = await self._call.read()
        assert data is not grpc.aio.EOF, f"the stream ended: {await self._call.code()} {await self._call.details()}"
        said = self._take(self.parse(data))
        if acknowledge:
            await self.acknowledge(said)
        return said

    async def read_until(self, type_url: str, held: Mapping[str, str]) -> None:
        while self.held.get(type_url) != held:
            await self.read()

    async def rest(self) -> list[Said]:
        """Say no more, and read what is said until the server, which has taken all by then, ends the stream."""
        await self._call.done_writing()
        found: list[Said] = []
        async with asyncio.timeout(PATIENCE):
            while (data := await self._call.read()) is not grpc.aio.EOF:
                found.append(self._take(self.parse(data)))
            assert await self._call.code() is grpc.StatusCode.OK
        return found

    def close(self) -> None:
        self._call.cancel()

    def _take(self, said: Said) -> Said:
        assert said.nonce not in {earlier.nonce for earlier in self.received}, "a nonce was used twice"
        self.received.append(said)
        self.keep(said)
        return said

    @abstractmethod
    def parse(self, data: bytes) -> Said: ...

    @abstractmethod
    def keep(self, said: Said) -> None: ...

    @abstractmethod
    async def acknowledge(self, said: Said) -> None: ...

    @abstractmethod
    async def reject(self, said: Said, reason: str = "no") -> None: ...

    @abstractmethod
    async def subscribe(self, type_url: str, *names: str) -> None:
        """Without names: all, as of old."""

    @abstractmethod
    async def unsubscribe(self, type_url: str, *names: str) -> None: ...


class DeltaClient(Client):
    async def ask(self, type_url: str, **fields: Any) -> None:
        await self.send(wire.DeltaDiscoveryRequest(type_url=type_url, **fields))

    async def subscribe(self, type_url: str, *names: str, **fields: Any) -> None:
        await self.ask(type_url, resource_names_subscribe=names, **fields)

    async def unsubscribe(self, type_url: str, *names: str) -> None:
        for name in names:
            self.held.get(type_url, {}).pop(name, None)
        await self.ask(type_url, resource_names_unsubscribe=names)

    async def acknowledge(self, said: Said) -> None:
        await self.ask(said.type_url, response_nonce=said.nonce)

    async def reject(self, said: Said, reason: str = "no", **fields: Any) -> None:
        error = wire.Status(code=13, message=reason)
        await self.ask(said.type_url, response_nonce=said.nonce, error_detail=error, **fields)

    def parse(self, data: bytes) -> Said:
        response = wire.DeltaDiscoveryResponse.FromString(data)
        versions = {item.name: item.version for item in response.resources}
        assert len(versions) == len(response.resources), "a name twice in one response"
        for item in response.resources:
            assert wire.Any.FromString(item.resource).type_url == response.type_url
            assert name_and_version(item.resource) == (item.name, item.version)
        assert not versions.keys() & set(response.removed_resources)
        return Said(
            response.type_url,
            response.nonce,
            response.system_version_info,
            versions,
            tuple(response.removed_resources),
        )

    def keep(self, said: Said) -> None:
        held = self.held.setdefault(said.type_url, {})
        held.update(said.resources)
        for name in said.removed:
            held.pop(name, None)


class WorldClient(Client):
    """State of the world: the whole list of names each time, with the last nonce and version of the type."""

    def __init__(self, channel: grpc.aio.Channel, path: str) -> None:
        super().__init__(channel, path)
        self.names: dict[str, list[str]] = {}
        self._last: dict[str, Said] = {}
        self._good: dict[str, str] = {}

    async def list(self, type_url: str, names: Iterable[str], error: str | None = None) -> None:
        self.names[type_url] = list(names)
        last = self._last.get(type_url)
        request = wire.DiscoveryRequest(
            type_url=type_url,
            resource_names=self.names[type_url],
            response_nonce=last.nonce if last is not None else "",
            version_info=self._good.get(type_url, ""),
            error_detail=wire.Status(code=13, message=error) if error is not None else None,
        )
        await self.send(request)

    async def subscribe(self, type_url: str, *names: str) -> None:
        await self.list(type_url, [*self.names.get(type_url, ()), *names])

    async def unsubscribe(self, type_url: str, *names: str) -> None:
        for name in names:
            self.held.get(type_url, {}).pop(name, None)
        await self.list(type_url, [name for name in self.names[type_url] if name not in names])

    async def acknowledge(self, said: Said) -> None:
        self._good[said.type_url] = said.whole
        await self.list(said.type_url, self.names.get(said.type_url, ()))

    async def reject(self, said: Said, reason: str = "no") -> None:
        await self.list(said.type_url, self.names.get(said.type_url, ()), reason)

    def parse(self, data: bytes) -> Said:
        response = wire.DiscoveryResponse.FromString(data)
        for resource in response.resources:
            assert wire.Any.FromString(resource).type_url == response.type_url
        versions = dict(name_and_version(resource) for resource in response.resources)
        assert len(versions) == len(response.resources), "a name twice in one response"
        return Said(response.type_url, response.nonce, response.version_info, versions)

    def keep(self, said: Said) -> None:
        self._last[said.type_url] = said
        if said.type_url in {CLUSTER, LISTENER}:
            self.held[said.type_url] = dict(said.resources)
        else:
            self.held.setdefault(said.type_url, {}).update(said.resources)


def client(channel: grpc.aio.Channel, *, delta: bool, only: str | None = None) -> Client:
    """`only`: on the service of this one type; else aggregated."""
    if only is None:
        service, word = xds.AGGREGATED, "AggregatedResources"
    else:
        service, word = WORDS[only]
    if delta:
        return DeltaClient(channel, f"/{service}/Delta{word}")
    return WorldClient(channel, f"/{service}/Stream{word}")
