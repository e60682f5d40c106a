"""What is spent of each CA's limits, and when those that wait for an order will have had their turn.

The buckets are those that orders are counted in (control.limits): what is shown here is what decides there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from api.auth import Operator
from api.overview.limits import BucketUse, CaLimits
from control.certificates.authorities import Authorities
from control.domains.selection import WELL
from control.domains.tenancy import Connection
from control.limits.gcra import Level, ask
from control.limits.limits import Limits
from control.limits.policy import Bucket, Policy, Scope
from control.services.transactions import Transactions

BUSIEST = 5  # of each limit
DAY = timedelta(days=1)

ACCOUNT = "SELECT bucket, tat, clock FROM rate_buckets WHERE directory_url = $1 AND key = ''"
FULLEST = """SELECT bucket, key, tat, clock FROM rate_buckets
    WHERE directory_url = $1 AND bucket = $2 AND tat > now() AND key <> '' ORDER BY tat DESC LIMIT $3"""
REFUSED = """SELECT bucket, key, tat FROM rate_buckets WHERE directory_url = $1 AND bucket = $2 AND tat > now()
    ORDER BY tat DESC LIMIT $3"""
# Those that come first are counted up to a bound: beyond it the forecast is only a lower one.
WAITING = """SELECT (SELECT count(*) FROM jobs WHERE kind = 'obtain' AND due AND turn IS NOT NULL) +
    (SELECT count(*) FROM jobs WHERE kind = 'obtain' AND due AND expires_at IS NOT NULL)"""
DUE_DAY = f"""SELECT count(*) FROM custom_domains d JOIN certificates c ON c.id = d.certificate_id
    WHERE {WELL} AND d.renew_at < now() + interval '1 day' AND c.directory_url = $1"""  # noqa: S608 -- constants


class LimitUse:
    """`authorities`: the CAs, in the operator's order; those that wait go to the first of them."""

    def __init__(self, transactions: Transactions, authorities: Authorities, limits: Limits) -> None:
        self._transactions = transactions
        self._authorities = authorities
        self._limits = limits

    async def all(self, caller: Operator) -> Sequence[CaLimits]:
        async def work(connection: Connection) -> Sequence[CaLimits]:
            now = await connection.fetchval("SELECT now()")
            waiting = await connection.fetchval(WAITING)
            found = []
            for number, one in enumerate(self._authorities):
                policy = self._limits.policy(one.directory_url)
                facts = await _facts(connection, one.directory_url, policy, now, 0 if number else waiting)
                found.append(CaLimits(name=one.name, directory_url=one.directory_url, **facts))
            return found

        return await self._transactions.read(caller, work)


async def _facts(
    connection: Connection, directory_url: str, policy: Policy, now: datetime, waiting: int
) -> dict[str, Any]:
    levels = {row["bucket"]: Level(row["tat"], row["clock"]) for row in await connection.fetch(ACCOUNT, directory_url)}
    account = [one for one in policy if one.scope is Scope.ACCOUNT]
    busiest: list[BucketUse] = []
    for bucket in policy:
        if bucket.scope is not Scope.ACCOUNT:
            rows = await connection.fetch(FULLEST, directory_url, bucket.name, BUSIEST)
            busiest += [_use(bucket, row["key"], Level(row["tat"], row["clock"]), now) for row in rows]
    refused: list[asyncpg.Record] = []
    for scope in Scope:
        refused += await connection.fetch(REFUSED, directory_url, f"refused_{scope.value}", BUSIEST)
    turns = [ask(one.rate, levels.get(one.name), now, waiting).until for one in account] if waiting else []
    turns += [row["tat"] for row in refused if not row["key"] and waiting]
    return {
        "account": [_use(one, "", levels.get(one.name), now) for one in account],
        "busiest": sorted(busiest, key=lambda one: one.used / one.capacity, reverse=True),
        "refused": [(row["bucket"].removeprefix("refused_"), row["key"], row["tat"]) for row in refused],
        "per_day": min((math.floor(DAY / one.rate.interval) for one in account), default=None),
        "waiting": waiting,
        "waiting_until": max([now, *turns]) if waiting else None,
        "due_day": await connection.fetchval(DUE_DAY, directory_url),
    }


def _use(bucket: Bucket, key: str, level: Level | None, now: datetime) -> BucketUse:
    rate = bucket.rate
    answer = ask(rate, level, now)
    left = timedelta(0) if level is None else max(level.tat - now, timedelta(0))
    return BucketUse(
        name=bucket.name,
        subject=bucket.subject.format(key=key),
        key=key,
        capacity=rate.capacity,
        used=min(rate.capacity, math.ceil(left / rate.interval)),
        room=answer.room,
        next_at=None if answer.allowed else answer.until,
        full_at=None if level is None or not left else level.tat,
    )
