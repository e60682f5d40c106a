"""Changes of domains in PostgreSQL: how soon each is answered by the sidecar, and many of them, as a load.

    python -m bench.load.changes       a plan on the standard input, JSON; what came of it on the standard output

Time counts from before a COMMIT is sent to the end of the first check with the new answer.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any, Self

import asyncpg

from bench.load.ask import Asker
from bench.names import hostname

PATIENCE = 10.0  # seconds for one change to be seen
TICK = 0.005

MOVE = "UPDATE custom_domains SET tenant_id = $1 WHERE hostname = $2 AND deleted_at IS NULL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`dsn`: as control. `tenants`: two, between which domains are moved. Names: `names` of them from `first` on.

    With a `socket`, `count` changes are followed one by one, `gap` seconds apart (half of it at random). Without one,
    `rate` changes a second are committed for `seconds`, each by itself, over `connections`.
    """

    dsn: str
    tenants: tuple[str, str]
    first: int
    names: int
    socket: str = ""
    count: int = 0
    gap: float = 0.0
    rate: float = 0.0
    seconds: float = 0.0
    connections: int = 4

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        fields: dict[str, Any] = json.loads(text)
        return cls(**{**fields, "tenants": tuple(fields["tenants"])})


async def follow(plan: Plan) -> dict[str, list[float]]:
    """`at` (seconds since the start) and `latency` (seconds) of each change. Raises TimeoutError for one not seen."""
    draw = random.Random(plan.count)
    asker = Asker(plan.socket)
    connection = await asyncpg.connect(plan.dsn)
    at, latencies = [], []
    started = time.perf_counter()
    try:
        for number in range(plan.count):
            await asyncio.sleep(plan.gap * (0.5 + draw.random() / 2))
            domain = plan.first + number % plan.names
            new = plan.tenants[number // plan.names % 2]
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(MOVE, new, hostname(domain))
            begun = time.perf_counter()
            await transaction.commit()
            while asker.tenant(domain) != new:
                if time.perf_counter() - begun > PATIENCE:
                    raise TimeoutError("a change was not seen")
            at.append(begun - started)
            latencies.append(time.perf_counter() - begun)
    finally:
        asker.close()
        await connection.close()
    return {"at": at, "latency": latencies}


async def churn(plan: Plan) -> dict[str, float]:
    """`changes` that were made and the `seconds` they took."""
    waiting: asyncio.Queue[int] = asyncio.Queue()
    pool = [await asyncpg.connect(plan.dsn) for _ in range(plan.connections)]
    made = 0

    async def work(connection: asyncpg.Connection[Any]) -> None:
        nonlocal made
        while True:
            number = await waiting.get()
            domain = hostname(plan.first + number % plan.names)
            await connection.execute(MOVE, plan.tenants[number // plan.names % 2], domain)
            made += 1

    workers = [asyncio.create_task(work(connection)) for connection in pool]
    started = time.perf_counter()
    due = 0
    while (now := time.perf_counter() - started) < plan.seconds:
        while due < now * plan.rate:
            waiting.put_nowait(due)
            due += 1
        await asyncio.sleep(TICK)
    seconds = time.perf_counter() - started
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    for connection in pool:
        connection.terminate()
    return {"changes": made, "seconds": seconds}


def main() -> None:
    plan = Plan.from_json(sys.stdin.read())
    sys.stdout.write(json.dumps(asyncio.run(follow(plan) if plan.socket else churn(plan))))


if __name__ == "__main__":
    main()
