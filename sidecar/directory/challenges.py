"""HTTP-01 tokens (RFC 8555 section 8.3) → key authorization: in memory, fed by the feed, read once if unknown."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Collection, Mapping

from cachetools import TLRUCache, TTLCache

from sidecar.directory.budget import Budget
from sidecar.directory.challenge import Challenge
from sidecar.directory.errors import Refused, Unavailable
from sidecar.directory.flights import Flights
from sidecar.directory.loads import Loads
from sidecar.directory.postgres import AWAY, Postgres

# Domains being validated at one time; an order is open for minutes.
CAPACITY = 20_000
# The token travels from control through PostgreSQL and the CA back to us, so the feed is usually there first.
NEGATIVE_SECONDS = 1.0
NEGATIVE_CAPACITY = 10_000
LOAD_DEADLINE = 2.0

# base64url without padding (RFC 8555 section 8.3); those of Let's Encrypt have 43 characters.
_token = re.compile(r"[A-Za-z0-9_-]{1,256}").fullmatch


class Challenges:
    """`clock`: monotonic seconds."""

    def __init__(self, postgres: Postgres, budget: Budget, clock: Callable[[], float] = time.monotonic) -> None:
        self.loads = 0
        self._postgres = postgres
        self._budget = budget
        self._clock = clock
        self._known = self._cache()
        self._absent: TTLCache[str, None] = TTLCache(NEGATIVE_CAPACITY, NEGATIVE_SECONDS, clock)
        self._loads = Loads()
        self._flights: Flights[str | None] = Flights(self._load)

    def lookup(self, token: str) -> str | None:
        """The key authorization, if the token is in memory and has not expired."""
        challenge = self._known.get(token)
        return None if challenge is None else challenge.key_authorization

    async def load(self, token: str) -> str | None:
        """As `lookup`, but reads a token that is not known from PostgreSQL. Raises Unavailable and Refused."""
        found = self.lookup(token)
        if found is not None or token in self._absent or _token(token) is None:
            return found
        return await self._flights.join(token)

    @property
    def refused(self) -> int:
        return self._budget.refused

    def __len__(self) -> int:
        return len(self._known)

    def apply(self, facts: Mapping[str, Challenge | None]) -> None:
        """What the feed read after a change; None: the token is gone."""
        self._remember(facts)
        self._loads.overtake(facts.keys())

    def replace(self, challenges: Collection[Challenge]) -> None:
        """Swap all of them."""
        known = self._cache()
        for challenge in challenges:
            known[challenge.token] = challenge
        self._known = known
        self._absent.clear()
        self._loads.overtake_all()

    def close(self) -> None:
        self._flights.cancel()

    async def _load(self, token: str) -> str | None:
        if not self._budget.take():
            raise Refused
        self.loads += 1
        try:
            async with asyncio.timeout(LOAD_DEADLINE), self._postgres.pooled() as reader:
                with self._loads.begin((token,)) as load:
                    facts = await reader.load_challenges((token,))
                    if load.overtaken:
                        return self.lookup(token)
                    self._remember(facts)
        except AWAY as error:
            raise Unavailable from error
        challenge = facts[token]
        return None if challenge is None else challenge.key_authorization

    def _remember(self, facts: Mapping[str, Challenge | None]) -> None:
        for token, challenge in facts.items():
            if challenge is None:
                self._known.pop(token, None)
                self._absent[token] = None
            else:
                self._known[token] = challenge
                self._absent.pop(token, None)

    def _cache(self) -> TLRUCache[str, Challenge, float]:
        return TLRUCache(CAPACITY, lambda _token, challenge, now: now + challenge.lifetime, self._clock)
