"""When the edge is written to local disk, and that it is taken up from there at a start."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Final

import structlog

from sidecar.edge import snapshot
from sidecar.edge.snapshot import SnapshotRefused
from sidecar.edge.table import EdgeTable

FILE_NAME: Final = "edge.snapshot"
# Seconds. How soon a change is written; and of the time at most a twentieth is spent on writing.
CHECK_INTERVAL: Final = 0.5
REST_FACTOR: Final = 20

log = structlog.stdlib.get_logger(__name__)


class EdgeSaver:
    """`saves`, `failures`: of writing."""

    def __init__(self, folder: Path, platform_domain: str, table: EdgeTable) -> None:
        self.saves = 0
        self.failures = 0
        self._path = folder / FILE_NAME
        self._platform_domain = platform_domain
        self._table = table
        self._saved_revision = table.revision
        self._writing = asyncio.Lock()

    async def restore(self) -> bool:
        """Before PostgreSQL is read. False: there is no file, or it is refused."""
        try:
            edge = await asyncio.to_thread(snapshot.read, self._path, self._platform_domain)
        except FileNotFoundError:
            return False
        except (OSError, SnapshotRefused) as error:
            log.warning("edge_snapshot_refused", path=str(self._path), reason=str(error))
            return False
        self._table.replace(edge)
        self._saved_revision = self._table.revision
        log.info("edge_snapshot_loaded", services=len(edge.services), client_auth=len(edge.client_auth))
        return True

    async def run(self) -> None:
        """Write it when it changed, until cancelled."""
        while True:
            await asyncio.sleep(CHECK_INTERVAL)
            started = time.monotonic()
            if await self.save():
                await asyncio.sleep(REST_FACTOR * (time.monotonic() - started))

    async def save(self, rest: float = snapshot.REST) -> bool:
        """Write it if it changed; False: nothing had changed, or another process is writing it.

        A failure is logged and counted: the file before it stays.
        """
        async with self._writing:
            edge, revision = self._table.current, self._table.revision
            if edge is None or revision == self._saved_revision:
                return False
            try:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                await snapshot.write(self._path, self._platform_domain, edge, rest)
            except BlockingIOError:
                return False
            except OSError as error:
                self.failures += 1
                log.warning("edge_snapshot_not_written", path=str(self._path), error=str(error))
                return True
            self._saved_revision = revision
            self.saves += 1
            return True
