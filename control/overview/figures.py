"""How many domains are in which state, and what waits: counted once for all who look, and kept with its age.

Counting a million domains reads one index (idx_domains_states) and takes a fraction of a second. It is done when
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

from api.admin.overview import SOON_DAYS, CodeCount, Figures, StateCount
from api.auth import Operator
from api.service import Unavailable
from control.domains.tenancy import Connection
from control.overview.selection import CODE, FAILING, LATE_PARTS, PARTS, PAUSED, WELL, WHO
from control.services.transactions import Transactions

FRESH = 15.0  # seconds
SHARE = 0.01  # of the time may be spent with counting
LOCK = 0x6E616D656F766572

KEPT = "SELECT at, took, figures, extract(epoch FROM clock_timestamp() - at)::float8 AS age FROM overview_figures"
KEEP = """INSERT INTO overview_figures (at, took, figures)
    VALUES (clock_timestamp(), $1, $2)
    ON CONFLICT (only_row) DO UPDATE SET at = excluded.at, took = excluded.took, figures = excluded.figures"""
CLOCK = "SELECT clock_timestamp()"
NO_SCAN = "SET LOCAL enable_seqscan = off"  # whatever the statistics say: the table is many times the index

STATES = """SELECT status, ssl_status, count(*) AS number FROM custom_domains WHERE deleted_at IS NULL
    GROUP BY status, ssl_status ORDER BY status, ssl_status"""
REASONS = f"""SELECT {CODE} AS code, {WHO} AS who, count(*) AS number, min(d.hostname COLLATE "C") AS example
    FROM custom_domains d WHERE {FAILING} GROUP BY 1, 2 ORDER BY number DESC, code LIMIT 200"""  # noqa: S608 -- constants
_SOONEST = max(SOON_DAYS)
_ENDS = " UNION ALL ".join(
    f"""SELECT d.cert_expiry AS ends FROM custom_domains d WHERE {part} AND d.upload_id IS NULL
        AND d.cert_expiry < now() + interval '{_SOONEST} days'"""  # noqa: S608 -- constants
    for part in PARTS
)
ENDING = f"""SELECT count(*) FILTER (WHERE ends <= now()) AS expired,
        {", ".join(f"count(*) FILTER (WHERE ends > now() AND ends < now() + interval '{n} days') AS d{n}" for n in SOON_DAYS)}
    FROM ({_ENDS} UNION ALL
        SELECT u.not_after FROM uploads u JOIN custom_domains d ON d.upload_id = u.id
        WHERE u.ended_at IS NULL AND u.not_after < now() + interval '{_SOONEST} days'
            AND d.deleted_at IS NULL AND d.status = 'active') all_of_them"""  # noqa: S608, E501 -- constants
_LATE = " UNION ALL ".join(f"SELECT FROM custom_domains d WHERE {part} AND d.upload_id IS NULL" for part in LATE_PARTS)
LATE = f"SELECT count(*) FROM ({_LATE}) all_of_them"  # noqa: S608 -- constants
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
    await connection.execute(NO_SCAN)
    began = await connection.fetchval(CLOCK)
    counted = await _counted(connection)
    took = int((await connection.fetchval(CLOCK) - began).total_seconds() * 1000)
    await connection.execute(KEEP, took, json.dumps(counted, default=_text))
    made = await _kept(connection)
    assert made is not None  # noqa: S101 -- it was just written
    return made


async def _counted(connection: Connection) -> dict[str, Any]:
    ending = await connection.fetchrow(ENDING)
    return {
        **dict(await connection.fetchrow(OTHERS)),
        "states": [list(row) for row in await connection.fetch(STATES)],
        "failing": [list(row) for row in await connection.fetch(REASONS)],
        "expired": ending["expired"],
        "expiring": {str(days): ending[f"d{days}"] for days in SOON_DAYS},
        "late": await connection.fetchval(LATE),
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
        checkpoint=_moment(kept["checkpoint"]),
        tenants=kept["tenants"],
    )


def _text(moment: datetime) -> str:
    return moment.isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
