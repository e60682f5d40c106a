"""The servers that a run shares: PostgreSQL and OpenBao, on the load's core; and room in them for one scenario."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.authority import Authority
from bench.edge import Edge
from bench.process import Cores, on_core
from bench.rows import add_default_certificate
from embedded.database import Database
from embedded.openbao import OpenBao
from embedded.postgres import Postgres
from embedded.vault_mount import VaultMount


@dataclass(slots=True)
class Ground:
    home: Path
    cores: Cores
    postgres: Postgres
    openbao: OpenBao
    authority: Authority
    _template: Database
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1), repr=False)

    @classmethod
    @asynccontextmanager
    async def start(cls, home: Path) -> AsyncIterator[Ground]:
        cores = Cores.choose()
        with on_core(cores.load):  # this process too: it looks on
            async with AsyncExitStack() as servers:
                postgres = await servers.enter_async_context(Postgres.start(home))
                openbao = await servers.enter_async_context(OpenBao.start(home))
                template = await Database.create(postgres, "template")
                yield cls(home, cores, postgres, openbao, Authority(), template)

    @asynccontextmanager
    async def edge(self) -> AsyncIterator[Edge]:
        """An empty database and mount, and a place for a sidecar and Envoys; nothing of it runs yet.

        The mount stays until the run is over: OpenBao takes a minute to remove one with ten thousand certificates.
        """
        number = next(self._numbers)
        home = self.home / f"edge-{number}"
        home.mkdir(mode=0o711)
        database = await self._template.copy(f"bench{number}")
        mount = await VaultMount.create(self.openbao, f"bench{number}")
        await add_default_certificate(mount, self.authority)
        async with AsyncExitStack() as servers:
            # last: with what runs on it gone
            servers.push_async_callback(database.drop)
            edge = Edge(home, self.cores, database, mount, servers)
            yield edge
