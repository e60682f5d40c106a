"""What may be spent at a CA, counted in PostgreSQL within the transaction that writes the order down.

A bucket is a row of `rate_buckets`. Its row lock makes replicas take turns, so that together they never overspend; all
of an order's buckets are locked by one statement in one order, so that they never wait for each other in a circle.

Time is PostgreSQL's own, one clock for all replicas: a replica whose clock jumps spends nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import asyncpg

from control.limits import refusal
from control.limits.gcra import Level, ask
from control.limits.policy import LETSENCRYPT, Policy, Scope, Spent
from control.limits.spending import Fill, LimitReached, failure, keys, minute, order

__all__ = ("UNLIMITED", "LimitReached", "Limits")

Connection: TypeAlias = "asyncpg.Connection[Any]"
Clock: TypeAlias = Callable[[], datetime]

UNLIMITED = 1_000_000  # the room at a CA that has no limits

# New rows and known ones alike are locked in the order of their names, and given back.
LOCK = """
INSERT INTO rate_buckets (directory_url, bucket, key, tat, clock)
SELECT $1, wanted.bucket, wanted.key, coalesce($4, clock_timestamp()), coalesce($4, clock_timestamp())
FROM unnest($2::text[], $3::text[]) AS wanted (bucket, key) ORDER BY wanted.bucket, wanted.key
ON CONFLICT (directory_url, bucket, key) DO UPDATE SET clock = rate_buckets.clock
RETURNING bucket, key, tat, clock
"""

WRITE = """
UPDATE rate_buckets b SET tat = spent.tat, clock = spent.clock
FROM unnest($2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[]) AS spent (bucket, key, tat, clock)
WHERE b.directory_url = $1 AND b.bucket = spent.bucket AND b.key = spent.key
"""

REFUSED = """
SELECT r.bucket, r.key, r.tat FROM rate_buckets r, unnest($2::text[], $3::text[]) AS wanted (bucket, key)
WHERE r.directory_url = $1 AND r.bucket = wanted.bucket AND r.key = wanted.key AND r.tat > $4
ORDER BY r.tat DESC LIMIT 1
"""

REFUSE = """
INSERT INTO rate_buckets AS r (directory_url, bucket, key, tat, clock) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (directory_url, bucket, key) DO UPDATE SET tat = greatest(r.tat, excluded.tat), clock = excluded.clock
"""


class Limits:
    """`registered_domain`: of a hostname, by the Public Suffix List. `policies`: by directory; `default`: of the rest.

    `now`: instead of PostgreSQL's clock, for tests and simulations.
    """

    def __init__(
        self,
        registered_domain: Callable[[str], str],
        policies: Mapping[str, Policy] | None = None,
        default: Policy = LETSENCRYPT,
        now: Clock | None = None,
    ) -> None:
        self._registered_domain = registered_domain
        self._policies = policies or {}
        self._default = default
        self._now = now

    def policy(self, directory_url: str) -> Policy:
        return self._policies.get(directory_url, self._default)

    async def take(
        self, connection: Connection, directory_url: str, hostnames: Sequence[str], *, renewal_exempt: bool = False
    ) -> None:
        """Spend an order for the hostnames, inside the transaction that writes it down. Raises LimitReached.

        The transaction must be rolled back then. `renewal_exempt`: the order names what it replaces, in its window.
        """
        policy = self.policy(directory_url)
        if renewal_exempt:
            policy = [one for one in policy if one.counts_spared]
        fills = await self._locked(connection, directory_url, policy, hostnames)
        now = await self._time(connection)
        await self._check_refused(connection, directory_url, hostnames, now)
        await _write(connection, directory_url, order(fills, now, exempt=renewal_exempt))

    async def failed_validation(self, connection: Connection, directory_url: str, hostname: str) -> None:
        """The CA has counted a failed authorization of the name."""
        policy = [one for one in self.policy(directory_url) if one.spent is Spent.BY_FAILURE]
        fills = await self._locked(connection, directory_url, policy, [hostname])
        await _write(connection, directory_url, failure(fills, await self._time(connection)))

    async def not_issued(
        self, connection: Connection, directory_url: str, hostname: str, *, renewal_exempt: bool = False
    ) -> None:
        """No certificate will come of an order, so what it took of those is given back. `renewal_exempt`: as it was."""
        for one in self.policy(directory_url):
            if one.of_certificates and (one.counts_spared or not renewal_exempt):
                await connection.execute(
                    """UPDATE rate_buckets SET tat = greatest(tat - $4::interval, clock)
                       WHERE directory_url = $1 AND bucket = $2 AND key = ANY($3)""",
                    directory_url,
                    one.name,
                    list(keys(one.scope, [hostname], self._registered_domain)),
                    one.rate.interval,
                )

    async def succeeded(self, connection: Connection, directory_url: str, hostname: str) -> None:
        """The CA has validated the name."""
        buckets = [one for one in self.policy(directory_url) if one.emptied_by_success]
        await connection.execute(
            "DELETE FROM rate_buckets WHERE directory_url = $1 AND bucket = ANY($2) AND key = ANY($3)",
            directory_url,
            [one.name for one in buckets],
            [key for one in buckets for key in keys(one.scope, [hostname], self._registered_domain)],
        )

    async def refused_by_ca(
        self,
        connection: Connection,
        directory_url: str,
        hostname: str,
        problem_detail: str,
        until: datetime | None = None,
    ) -> datetime:
        """The CA itself says that a limit is reached: nothing that falls under it is sent before the time returned.

        `until`: by its Retry-After; None: as its sentence says.
        """
        now = await self._time(connection)
        refused = refusal.read(problem_detail, now, until)
        (key,) = keys(refused.scope, [hostname], self._registered_domain)
        await connection.execute(REFUSE, directory_url, refusal.bucket_of(refused.scope), key, refused.until, now)
        return refused.until

    async def room(
        self, connection: Connection | asyncpg.Pool[Any], directory_url: str, now: datetime | None = None
    ) -> int:
        """How many orders the account may send now. Read without a lock: only `take` decides."""
        moment = now or await self._time(connection)
        rows = await connection.fetch(
            "SELECT bucket, tat, clock FROM rate_buckets WHERE directory_url = $1 AND key = ''", directory_url
        )
        levels = {row["bucket"]: Level(row["tat"], row["clock"]) for row in rows}
        refused = levels.get(refusal.bucket_of(Scope.ACCOUNT))
        if refused is not None and refused.tat > moment:
            return 0
        account = [one for one in self.policy(directory_url) if one.scope is Scope.ACCOUNT]
        return min((ask(one.rate, levels.get(one.name), moment).room for one in account), default=UNLIMITED)

    async def _time(self, connection: Connection | asyncpg.Pool[Any]) -> datetime:
        if self._now is not None:
            return self._now()
        time: datetime = await connection.fetchval("SELECT clock_timestamp()")
        return time

    async def _locked(
        self, connection: Connection, directory_url: str, policy: Policy, hostnames: Sequence[str]
    ) -> Sequence[Fill]:
        buckets = {one.name: one for one in policy}
        wanted = [(one.name, key) for one in policy for key in keys(one.scope, hostnames, self._registered_domain)]
        if not wanted:
            return ()
        now = self._now() if self._now is not None else None
        found = await connection.fetch(LOCK, directory_url, *map(list, zip(*wanted, strict=True)), now)
        return [Fill(buckets[name], key, Level(tat, clock)) for name, key, tat, clock in found]

    async def _check_refused(
        self, connection: Connection, directory_url: str, hostnames: Sequence[str], now: datetime
    ) -> None:
        wanted = [
            (refusal.bucket_of(scope), key)
            for scope in Scope
            for key in keys(scope, hostnames, self._registered_domain)
        ]
        row = await connection.fetchrow(REFUSED, directory_url, *map(list, zip(*wanted, strict=True)), now)
        if row is not None:
            of = f" for {row['key']}" if row["key"] else ""
            message = f"A rate limit of the CA is reached{of}; it takes no order before {minute(row['tat'])}."
            raise LimitReached("ca_rate_limited", message, row["tat"], row["bucket"], row["key"])


async def _write(connection: Connection, directory_url: str, fills: Sequence[Fill]) -> None:
    if fills:
        spent = [(one.bucket.name, one.key, one.level.tat, one.level.clock) for one in fills]
        await connection.execute(WRITE, directory_url, *map(list, zip(*spent, strict=True)))
