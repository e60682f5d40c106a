"""When the directory is written to local disk, and what of it is taken up at the next start."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import structlog

from sidecar.directory import snapshot
from sidecar.directory.directory import Directory
from sidecar.directory.feed import Feed
from sidecar.directory.rows import Recent, Rows
from sidecar.directory.snapshot import Snapshot, SnapshotRefused
from sidecar.garbage import no_cycles_made

FILE_NAME = "directory.snapshot"
# Seconds. How often it is looked whether there is something to write; the first time it is written soon.
CHECK_INTERVAL = 1.0
# Between two writes; and of the time at most a twentieth is spent on writing, however large it gets.
INTERVAL = 5.0
REST_FACTOR = 20

log = structlog.get_logger(__name__)


class Saver:
    def __init__(self, folder: Path, directory: Directory, feed: Feed) -> None:
        self.saves = 0
        self.failures = 0
        self.saved_at: float | None = None  # Unix seconds
        self.final = True  # False: another process goes on with the file, so none is written at the end
        self._path = folder / FILE_NAME
        self._directory = directory
        self._feed = feed
        self._saved_revision = feed.revision
        self._writing = asyncio.Lock()

    async def restore(self) -> bool:
        """Before the feed runs: fill the directory from the file. False: there is none, or it is refused."""
        try:
            with no_cycles_made():
                found, rows = await asyncio.to_thread(self._read)
        except FileNotFoundError:
            return False
        except (OSError, SnapshotRefused) as error:
            log.warning("snapshot_refused", path=str(self._path), reason=str(error))
            return False
        directory = self._directory
        directory.replace(rows)
        self._feed.intake.resume_from = found.position
        self._feed.tell_of_any()
        log.info("snapshot_loaded", names=len(directory), complete=directory.complete, position=self._feed.position)
        return True

    def _read(self) -> tuple[Snapshot, Rows]:
        capacity = self._directory.capacity
        found, everything = snapshot.read(self._path, self._directory.platform.name)
        if found.complete and len(everything) <= capacity:
            return found, everything
        recent = Recent(capacity)
        for hostname, row in everything.items():
            recent.put(hostname, row)
        return found, recent

    async def run(self) -> None:
        """Write it when it changed, every INTERVAL at most, until cancelled."""
        while True:
            await asyncio.sleep(CHECK_INTERVAL)
            started = time.monotonic()
            if await self.save():
                await asyncio.sleep(max(INTERVAL, REST_FACTOR * (time.monotonic() - started)))

    async def save(self, rest: float = snapshot.REST) -> bool:
        """Write it if it changed, with `rest` seconds for others after each piece.

        False: nothing had changed, or another process is writing it. A failure is logged and counted: the file before
        it stays.
        """
        async with self._writing:
            revision, position, directory = self._feed.revision, self._feed.intake.resume_from, self._directory
            if position is None or revision == self._saved_revision:
                return False
            taken = Snapshot(directory.platform.name, directory.complete, position)
            try:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                await snapshot.write(self._path, taken, directory.rows(), rest)
            except BlockingIOError:
                return False
            except OSError as error:
                self.failures += 1
                log.warning("snapshot_not_written", path=str(self._path), error=str(error))
                return True
            self._saved_revision = revision
            self.saves += 1
            self.saved_at = time.time()
            return True
