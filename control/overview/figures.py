"""How many domains are in which state, and what waits: counted once for all who look, and kept with its age.

Counting a million domains reads one index (control.domains.counts) and takes a fraction of a second. It is done when
somebody looks and the last count is older than FRESH seconds, or than a hundred times what that took: so that counting
is never more than a hundredth of anybody's work. One replica counts; others give what there is meanwhile.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from datetime import datetime
from time import monotonic
from typing import Any

import asyncpg

from api.auth import Operator
from api.overview.figures import SOON_DAYS, CodeCount, Figures, StateCount
from api.service import Unavailable
from control.domains.counts import count
from control.domains.selection import CODE, FAILING, PAUSED, WELL, WHO
from control.domains.tenancy import Connection
from control.services.transactions import Transactions

FRESH = 15.0  # seconds
SHARE = 0.01  # of the time may be spent with counting
LOCK = 0x6E616D656F766572

KEPT = "SELECT at, took, figures, extract(epoch FROM clock_timestamp() - at)::float8 AS age FROM overview_figures"
KEEP = """INSERT INTO overview_figures (at, took, figures)
    VALUES (clock_timestamp(), $1, $2)
    ON CONFLICT (only_row) DO UPDATE SET at = excluded.at, took = excluded.took, figures = excluded.figures"""
CLOCK = "SELECT clock_timestamp()"

REASONS = f"""SELECT {CODE} AS code, {WHO} AS who, count(*) AS number, min(d.hostname COLLATE "C") AS example
    FROM custom_domains d WHERE {FAILING} GROUP BY 1, 2 ORDER BY number DESC, code LIMIT 200"""  # noqa: S608 -- constants
# The rest reads short indexes.
OTHERS = f"""SELECT
    (SELECT count(*) FROM custom_domains d WHERE {PAUSED} AND d.paused_from IS NOT NULL) AS by_tenant,
    (SELECT count(*) FROM custom_domains d WHERE {PAUSED} AND d.paused_from IS NULL) AS by_platform,
    (SELECT count(*) FROM jobs WHERE kind = 'obtain' AND due AND turn IS NOT NULL) AS first,
    (SELECT count(*) FROM jobs WHERE kind = 'obtain' AND due AND expires_at IS NOT NULL) AS renewals,
    (SELECT count(*) FROM custom_domains d WHERE {WELL} AND d.renew_at < now() + interval '1 day') AS due_day,
    (SELECT count(*) FROM deliveries WHERE state = 'pending') AS waiting,
    (SELECT count(*) FROM deliveries WHERE state = 'dead') AS dead,
    (SELECT created_at FROM deliveries WHERE state = 'pending' ORDER BY created_at LIMIT 1) AS oldest,
    (SELECT count(*) FROM notification_endpoints WHERE tenant_id IS NOT NULL AND withdrawn_at IS NULL
        AND (failing_since IS NOT NULL OR disabled_at IS NOT NULL)) AS endpoints_failing,
    (SELECT count(*) FROM notification_endpoints WHERE tenant_id IS NULL AND disabled_at IS NULL
        AND failing_since IS NOT NULL) AS admin_endpoints_failing,
    (SELECT count(*) FROM audit_heads WHERE anchored < seq) AS unanchored,
    (SELECT min((SELECT a.at FROM audit_seals s JOIN audit a ON a.id = s.audit_id
        WHERE s.tenant_id = h.tenant_id AND s.seq = h.anchored + 1))
        FROM audit_heads h WHERE h.anchored < h.seq) AS uncovered,
    (SELECT at FROM audit_checkpoints ORDER BY number DESC LIMIT 1) AS checkpoint,
    (SELECT count(*) FROM tenants) AS tenants"""  # noqa: S608 -- constants


class Counts:
    """`clock`: monotonic seconds."""

    def __init__(self, transactions: Transactions, clock: Callable[[], float] = monotonic) -> None:
        self._transactions = transactions
        self._clock = clock
        self._not_before = -math.inf

    async def figures(self, caller: Operator) -> Figures:
        """Raises Unavailable: PostgreSQL is away, or nothing was counted so far and counting takes too long."""
        kept = await self._transactions.read(caller, _kept)
        if kept is not None and (kept.age <= max(FRESH, kept.took / 1000 / SHARE) or self._clock() < self._not_before):
            return kept
        began = self._clock()
        try:
            return await self._transactions.read(caller, _count)
        except Unavailable:
            self._not_before = self._clock() + (self._clock() - began) / SHARE
            if kept is None:
                raise
            return kept


async def _kept(connection: Connection) -> Figures | None:
    row = await connection.fetchrow(KEPT)
    return None if row is None else _figures(row)


async def _count(connection: Connection) -> Figures:
    """Anew, unless another replica is at it, or has just done it."""
    kept = await _kept(connection)
    if kept is None:  # the first ever: there is nothing to show meanwhile
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        kept = await _kept(connection)
        if kept is not None:
            return kept
    elif not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK):
        return kept
    began = await connection.fetchval(CLOCK)
    counted = await _counted(connection)
    took = int((await connection.fetchval(CLOCK) - began).total_seconds() * 1000)
    await connection.execute(KEEP, took, json.dumps(counted, default=_text))
    made = await _kept(connection)
    assert made is not None  # noqa: S101 -- it was just written
    return made


async def _counted(connection: Connection) -> dict[str, Any]:
    domains = await count(connection)
    ends = domains.ends.values()
    expired = sum(one.expired for one in ends)
    return {
        **dict(await connection.fetchrow(OTHERS)),
        "states": [[*state, number] for state, number in domains.states.items()],
        "failing": [list(row) for row in await connection.fetch(REASONS)],
        "expired": expired,
        "expiring": {str(days): sum(one.within[days] for one in ends) - expired for days in SOON_DAYS},
        "late": sum(one.late + one.late_held for one in ends),
    }


def _figures(row: asyncpg.Record) -> Figures:
    kept: Mapping[str, Any] = json.loads(row["figures"])
    return Figures(
        at=row["at"],
        took=row["took"],
        age=max(0.0, row["age"]),
        states=[StateCount(*one) for one in kept["states"]],
        failing=[CodeCount(*one) for one in kept["failing"]],
        expired=kept["expired"],
        expiring={int(days): number for days, number in kept["expiring"].items()},
        late=kept["late"],
        paused={"tenant": kept["by_tenant"], "platform": kept["by_platform"]},
        first=kept["first"],
        renewals=kept["renewals"],
        due_day=kept["due_day"],
        waiting=kept["waiting"],
        dead=kept["dead"],
        oldest=_moment(kept["oldest"]),
        endpoints_failing=kept["endpoints_failing"],
        admin_endpoints_failing=kept["admin_endpoints_failing"],
        unanchored=kept["unanchored"],
        uncovered=_moment(kept.get("uncovered")),  # not in a count of a release before
        checkpoint=_moment(kept["checkpoint"]),
        tenants=kept["tenants"],
    )


def _text(moment: datetime) -> str:
    return moment.isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
