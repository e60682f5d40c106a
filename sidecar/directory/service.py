"""The parts of the directory, wired: what the sidecar's other parts and its application are given."""

from __future__ import annotations

import asyncio
from pathlib import Path

from core.database import Access
from sidecar.directory.budget import Budget
from sidecar.directory.challenges import Challenges
from sidecar.directory.directory import Directory
from sidecar.directory.entry import PlatformDomain
from sidecar.directory.feed import Feed
from sidecar.directory.postgres import Postgres
from sidecar.directory.saver import Saver
from sidecar.directory.source import Source
from sidecar.directory.stats import DirectoryStats
from sidecar.edge.saver import EdgeSaver
from sidecar.edge.stats import EdgeStats, count
from sidecar.edge.table import EdgeTable

# Of the loads a second, those that are for ACME tokens: a flood of made-up tokens must not keep names from loading,
# nor the other way round.
TOKEN_SHARE = 0.1


class DirectoryService:
    """`address`: PostgreSQL, as role nameplate_sidecar; `listen`: where the feed can LISTEN, if not there.

    `platform_domain`: in normal form. `state_dir`: for the snapshot.

    `sidecar`: this process's name among the sidecars. `capacity`: names in memory. Give consumers their parts, and
    `feed.subscribe` theirs, between the constructor and `run`. To be made and used on one running event loop.
    """

    def __init__(
        self,
        address: Access | str,
        platform_domain: str,
        sidecar: str,
        state_dir: Path,
        capacity: int,
        misses_per_second: float,
        listen: Access | None = None,
    ) -> None:
        platform = PlatformDomain(platform_domain)
        tokens_per_second = max(1.0, misses_per_second * TOKEN_SHARE)
        names_per_second = max(1.0, misses_per_second - tokens_per_second)
        self.postgres = Postgres(address, platform, listen)
        self.directory = Directory(platform, capacity)
        self.source = Source(self.directory, self.postgres, Budget(names_per_second))
        self.challenges = Challenges(self.postgres, Budget(tokens_per_second))
        self.edge = EdgeTable()
        self.feed = Feed(self.postgres, self.directory, self.challenges, self.edge, sidecar)
        self.saver = Saver(state_dir, self.directory, self.feed)
        self.edge_saver = EdgeSaver(state_dir, platform_domain, self.edge)

    async def run(self) -> None:
        """Serve from the snapshot at once, then follow PostgreSQL until cancelled; then save and let go."""
        try:
            # The edge first: a name must not be served for a moment as if nothing were asked of its clients.
            if self.edge.current is None:
                await self.edge_saver.restore()
            if not self.directory.loaded:
                await self.saver.restore()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.feed.run(), name="directory feed")
                tasks.create_task(self.saver.run(), name="directory saver")
                tasks.create_task(self.edge_saver.run(), name="edge saver")
        finally:
            self.source.close()
            self.challenges.close()
            self.postgres.close()
            if self.saver.final:
                await self.edge_saver.save(rest=0)
                await self.saver.save(rest=0)

    def edge_stats(self) -> EdgeStats:
        return count(self.edge, self.edge_saver)

    def stats(self) -> DirectoryStats:
        directory, source, challenges, feed = self.directory, self.source, self.challenges, self.feed
        return DirectoryStats(
            names=len(directory),
            capacity=directory.capacity,
            loaded=directory.loaded,
            complete=directory.complete,
            stale=directory.stale,
            hits=directory.hits,
            misses=directory.misses,
            negatives=directory.negatives,
            loads=source.loads,
            load_failures=source.failures,
            load_seconds=source.seconds,
            loads_refused=source.refused,
            tokens=len(challenges),
            token_loads=challenges.loads,
            token_loads_refused=challenges.refused,
            statements=self.postgres.statements.sent,
            feed_position=feed.position,
            feed_age=feed.age(),
            feed_connects=feed.connects,
            feed_failures=feed.failures,
            feed_reads=feed.reads,
            feed_changes=feed.intake.changes,
            feed_reloads=feed.intake.reloads,
            snapshot_saves=self.saver.saves,
            snapshot_failures=self.saver.failures,
            snapshot_saved_at=self.saver.saved_at,
        )
