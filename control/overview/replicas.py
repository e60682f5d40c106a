"""The replicas of control, and what each knows by itself: how the CAs have answered it.

Each writes its row of `control_replicas` every few seconds, so that whichever is asked can say what all have met, and
whose word it is. One that ends says so; one that only falls silent has been killed, or is cut off.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg

from api.auth import Operator
from api.overview.replicas import CaHealth, CaState, Failure, Replica
from control import rounds
from control.certificates.authorities import Health
from control.db.away import AWAY
from control.domains.tenancy import Connection
from control.services.transactions import Transactions

EVERY = 10.0  # seconds
LIVE = 3.5 * EVERY  # seconds; a round has jitter of a half
REMEMBERED = "1 hour"

TELL = """INSERT INTO control_replicas (name, view) VALUES ($1, $2)
    ON CONFLICT (name) DO UPDATE SET view = excluded.view, heard_at = now(), ended_at = NULL"""
FORGET = f"DELETE FROM control_replicas WHERE heard_at < now() - interval '{REMEMBERED}'"  # noqa: S608 -- a constant
END = "UPDATE control_replicas SET ended_at = now(), heard_at = now() WHERE name = $1"
ALL = """SELECT name, started_at, extract(epoch FROM now() - heard_at)::float8 AS heard, ended_at IS NOT NULL AS ended,
    view, now() AS now FROM control_replicas ORDER BY name LIMIT 1000"""


class Replicas:
    """`name`: of this one. `health`: what it knows of the CAs."""

    def __init__(
        self,
        pool: asyncpg.Pool[Any],
        transactions: Transactions,
        name: str,
        health: Callable[[], Sequence[Health]],
    ) -> None:
        self.name = name
        self._pool = pool
        self._transactions = transactions
        self._health = health

    async def run(self) -> None:
        """For as long as the process lives; then it says that it has ended, if PostgreSQL listens."""
        try:
            await rounds.keep(self.tell, EVERY, "replica_not_told", first=0)
        finally:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                await self._end()

    async def tell(self) -> None:
        view = {"cas": [_told(one) for one in self._health()]}
        await self._pool.execute(TELL, self.name, json.dumps(view), timeout=5)
        await self._pool.execute(FORGET, timeout=5)

    async def all(self, caller: Operator) -> Sequence[Replica]:
        async def work(connection: Connection) -> Sequence[Replica]:
            return [_replica(row, self.name) for row in await connection.fetch(ALL)]

        return await self._transactions.read(caller, work)

    async def _end(self) -> None:
        try:
            async with asyncio.timeout(1):
                await self._pool.execute(END, self.name, timeout=1)
        except AWAY:
            return


def _told(health: Health) -> dict[str, Any]:
    return {
        "name": health.name,
        "directory": health.directory_url,
        "failures": health.failures,
        "outages": health.outages,
        "until": None if health.until is None else health.until.isoformat(),
        "failure": None if health.failure is None else [*health.failure[:2], health.failure[2].isoformat()],
        "success": None if health.success is None else health.success.isoformat(),
    }


def _replica(row: asyncpg.Record, mine: str) -> Replica:
    heard = max(0.0, row["heard"])
    return Replica(
        name=row["name"],
        started_at=row["started_at"],
        heard=heard,
        live=heard <= LIVE and not row["ended"],
        mine=row["name"] == mine,
        ended=row["ended"],
        cas=[_health(one, row["now"]) for one in json.loads(row["view"])["cas"]],
    )


def _health(told: Mapping[str, Any], now: datetime) -> CaHealth:
    until, success = _moment(told["until"]), _moment(told["success"])
    failure = None if told["failure"] is None else _failure(*told["failure"])
    state: CaState = "well"
    if until is not None and now < until:
        state = "out"
    elif told["failures"]:
        state = "stumbling"
    elif failure is None and success is None:
        state = "unused"
    return CaHealth(told["name"], told["directory"], state, told["failures"], told["outages"], until, failure, success)


def _failure(code: str, message: str, at: str) -> Failure:
    return Failure(code, message, datetime.fromisoformat(at))


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
