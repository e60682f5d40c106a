"""What may be spent at a CA, counted in PostgreSQL within the transaction that writes the order down.

A bucket is a row of `rate_buckets`. Its row lock makes replicas take turns, so that together they never overspend; all
of an order's buckets are locked by one statement in one order, so that they never wait for each other in a circle.

Time is PostgreSQL's own, one clock for all replicas: a replica whose clock jumps spends nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, TypeAlias

import asyncpg

from control.limits import refusal
from control.limits.gcra import Answer, Level, ask, spend
from control.limits.policy import LETSENCRYPT, Bucket, Policy, Scope, Spent
from core.errors import NameplateError

Connection: TypeAlias = "asyncpg.Connection[Any]"
Clock: TypeAlias = Callable[[], datetime]

UNLIMITED = 1_000_000  # the room at a CA that has no limits
LONGEST_KEY = 255  # characters; a longer set of names is kept by its hash

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


class LimitReached(NameplateError):
    """Nothing was spent. `until`: when it may be tried again. `bucket`, `key`: the one that is empty longest."""

    who = "nobody"  # has to act: it passes

    def __init__(self, code: str, message: str, until: datetime, bucket: str, key: str) -> None:
        super().__init__(code, message)
        self.until = until
        self.bucket = bucket
        self.key = key


@dataclass(frozen=True, slots=True)
class _Row:
    bucket: Bucket
    key: str
    level: Level


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
        policy = [one for one in self.policy(directory_url) if one.counts_spared or not renewal_exempt]
        rows = await self._locked(connection, directory_url, policy, hostnames)
        now = await self._time(connection)
        await self._check_refused(connection, directory_url, hostnames, now)
        answers = [(row, ask(row.bucket.rate, row.level, now)) for row in rows]
        if not renewal_exempt:
            _check(answers)
        await _write(
            connection,
            directory_url,
            [
                (row, answer.after if answer.allowed else spend(row.bucket.rate, row.level, now))
                for row, answer in answers
                if row.bucket.spent is Spent.BY_ORDER
            ],
        )

    async def failed_validation(self, connection: Connection, directory_url: str, hostname: str) -> None:
        """The CA has counted a failed authorization of the name."""
        policy = [one for one in self.policy(directory_url) if one.spent is Spent.BY_FAILURE]
        rows = await self._locked(connection, directory_url, policy, [hostname])
        now = await self._time(connection)
        await _write(connection, directory_url, [(row, spend(row.bucket.rate, row.level, now)) for row in rows])

    async def not_issued(self, connection: Connection, directory_url: str, hostname: str) -> None:
        """An order has failed at the CA, so that no certificate comes of it."""
        for one in self.policy(directory_url):
            if one.of_certificates:
                await connection.execute(
                    """UPDATE rate_buckets SET tat = greatest(tat - $4::interval, clock)
                       WHERE directory_url = $1 AND bucket = $2 AND key = ANY($3)""",
                    directory_url,
                    one.name,
                    list(self._keys(one.scope, [hostname])),
                    one.rate.interval,
                )

    async def succeeded(self, connection: Connection, directory_url: str, hostname: str) -> None:
        """The CA has validated the name."""
        buckets = [one for one in self.policy(directory_url) if one.emptied_by_success]
        await connection.execute(
            "DELETE FROM rate_buckets WHERE directory_url = $1 AND bucket = ANY($2) AND key = ANY($3)",
            directory_url,
            [one.name for one in buckets],
            [key for one in buckets for key in self._keys(one.scope, [hostname])],
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
        (key,) = self._keys(refused.scope, [hostname])
        await connection.execute(REFUSE, directory_url, _refused(refused.scope), key, refused.until, now)
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
        refused = levels.get(_refused(Scope.ACCOUNT))
        if refused is not None and refused.tat > moment:
            return 0
        account = [one for one in self.policy(directory_url) if one.scope is Scope.ACCOUNT]
        return min((ask(one.rate, levels.get(one.name), moment).room for one in account), default=UNLIMITED)

    async def _time(self, connection: Connection | asyncpg.Pool[Any]) -> datetime:
        if self._now is not None:
            return self._now()
        time: datetime = await connection.fetchval("SELECT clock_timestamp()")
        return time

    def _keys(self, scope: Scope, hostnames: Sequence[str]) -> Iterable[str]:
        """A wildcard is authorized under its parent's name, and counts for it."""
        match scope:
            case Scope.ACCOUNT:
                return ("",)
            case Scope.REGISTERED_DOMAIN:
                return {self._registered_domain(name) for name in hostnames}
            case Scope.NAME:
                return {name.removeprefix("*.") for name in hostnames}
            case Scope.EXACT_SET:
                names = ",".join(sorted(set(hostnames)))
                return (names if len(names) <= LONGEST_KEY else sha256(names.encode()).hexdigest(),)

    async def _locked(
        self, connection: Connection, directory_url: str, policy: Policy, hostnames: Sequence[str]
    ) -> Sequence[_Row]:
        buckets = {one.name: one for one in policy}
        wanted = [(one.name, key) for one in policy for key in self._keys(one.scope, hostnames)]
        if not wanted:
            return ()
        now = self._now() if self._now is not None else None
        found = await connection.fetch(LOCK, directory_url, *map(list, zip(*wanted, strict=True)), now)
        return [_Row(buckets[name], key, Level(tat, clock)) for name, key, tat, clock in found]

    async def _check_refused(
        self, connection: Connection, directory_url: str, hostnames: Sequence[str], now: datetime
    ) -> None:
        wanted = [(_refused(scope), key) for scope in Scope for key in self._keys(scope, hostnames)]
        row = await connection.fetchrow(REFUSED, directory_url, *map(list, zip(*wanted, strict=True)), now)
        if row is not None:
            of = f" for {row['key']}" if row["key"] else ""
            message = f"A rate limit of the CA is reached{of}; it takes no order before {_minute(row['tat'])}."
            raise LimitReached("ca_rate_limited", message, row["tat"], row["bucket"], row["key"])


def _check(answers: Sequence[tuple[_Row, Answer]]) -> None:
    full = [(answer.until, row) for row, answer in answers if not answer.allowed]
    if not full:
        return
    until, row = max(full, key=lambda one: one[0])
    subject = row.bucket.subject.format(key=row.key)
    message = f"{subject[0].upper()}{subject[1:]}: at the CA's limit until {_minute(until)}."
    raise LimitReached(row.bucket.code, message, until, row.bucket.name, row.key)


async def _write(connection: Connection, directory_url: str, levels: Sequence[tuple[_Row, Level]]) -> None:
    if levels:
        spent = [(row.bucket.name, row.key, level.tat, level.clock) for row, level in levels]
        await connection.execute(WRITE, directory_url, *map(list, zip(*spent, strict=True)))


def _refused(scope: Scope) -> str:
    """The bucket that keeps the CA's own word; its TAT is the time that the CA gave."""
    return f"refused_{scope.value}"


def _minute(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
