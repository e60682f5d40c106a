"""Loading the names that an incomplete directory does not hold: one statement a name, single flight, on a budget."""

from __future__ import annotations

import asyncio
import time

from sidecar.directory.budget import Budget
from sidecar.directory.directory import Directory
from sidecar.directory.entry import Entry, Unknown
from sidecar.directory.errors import Refused, Unavailable
from sidecar.directory.flights import Flights
from sidecar.directory.postgres import AWAY, Postgres

# Seconds for a load in all. Whoever asked may give up sooner; what is found is remembered all the same.
LOAD_DEADLINE = 2.0
# A load that a change overtook is done again; changes of one name that come faster than that are not remembered.
ATTEMPTS = 3


class Source:
    def __init__(self, directory: Directory, postgres: Postgres, budget: Budget) -> None:
        self.loads = 0
        self.failures = 0
        self.seconds = 0.0
        self._directory = directory
        self._postgres = postgres
        self._budget = budget
        self._flights: Flights[Entry | None] = Flights(self._load)

    async def load(self, host: str) -> Entry | None:
        """The row that answers for `host` (normal form), from memory or else from PostgreSQL; None: it is absent.

        Raises Unavailable and Refused.
        """
        found = self._directory.find(host)
        if found is Unknown.MISS:
            return await self._flights.join(host)
        return None if isinstance(found, Unknown) else found

    @property
    def refused(self) -> int:
        return self._budget.refused

    def close(self) -> None:
        self._flights.cancel()

    async def _load(self, host: str) -> Entry | None:
        keys = self._directory.platform.keys(host)
        if not self._budget.take():
            raise Refused
        self.loads += 1
        started = time.monotonic()
        try:
            async with asyncio.timeout(LOAD_DEADLINE), self._postgres.pooled() as reader:
                for _ in range(ATTEMPTS):
                    with self._directory.loading(keys) as load:
                        facts = await reader.load_names(keys)
                        if not load.overtaken:
                            self._directory.remember(facts)
                            break
        except AWAY as error:
            self.failures += 1
            raise Unavailable from error
        finally:
            self.seconds += time.monotonic() - started
        return next((entry for key in keys if (entry := facts[key]) is not None), None)
