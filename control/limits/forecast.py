"""When a domain that waits for its turn will have it: the orders before its own, at the rate of the CA's account.

An estimate for people. It moves as others come and go; only `control.limits.limits.Limits.take` decides.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg

from control.limits.gcra import Level, ask
from control.limits.policy import Policy, Scope
from control.limits.refusal import bucket_of
from control.limits.spending import minute
from core.domain import NextAttempt

# What comes sooner is as good as under way.
SOON = timedelta(minutes=1)

Asked: TypeAlias = "asyncpg.Connection[Any] | asyncpg.Pool[Any]"


class Forecast:
    """`directory_url`, `policy`: of the CA that an operator prefers; others only make it sooner."""

    def __init__(
        self, directory_url: str, policy: Policy, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._directory_url = directory_url
        self._rates = {one.name: one.rate for one in policy if one.scope is Scope.ACCOUNT}
        self._now = now

    async def of(self, connection: Asked, domain_id: UUID) -> NextAttempt | None:
        """None: the domain does not wait for its turn, or has it within the minute.

        As the workers' role, or as the API's within a transaction that says which tenant it is for.
        """
        rows = await connection.fetch("SELECT * FROM turn_of_v1($1, $2)", domain_id, self._directory_url)
        if not rows:
            return None
        now = self._now()
        orders = rows[0]["orders"]
        levels = {row["bucket"]: Level(row["tat"], row["clock"]) for row in rows if row["bucket"] is not None}
        times = [ask(rate, levels.get(name), now, orders + 1).until for name, rate in self._rates.items()]
        if refused := levels.get(bucket_of(Scope.ACCOUNT)):
            times.append(refused.tat)
        at = max(times, default=now)
        if at - now < SOON:
            return None
        message = f"{_counted(orders)} before this one at the CA's rate limit; the next attempt is about {minute(at)}."
        return NextAttempt(at, "queued", message)


def _counted(orders: int) -> str:
    return "No order is" if orders == 0 else "One order is" if orders == 1 else f"About {orders:,} orders are"
