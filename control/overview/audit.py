"""The audit of all tenants, searched: newest first, each row with what its seal says of it.

A search by time is one by number: rows are numbered in the order in which their transactions wrote them, so the bounds
of a time are found by halving, as in a telephone book. `nameplate audit verify` looks at the whole log; here only what
is shown is looked at, against its own seal and the one before.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

import asyncpg

from api.auth import Operator
from api.overview.audit import AuditRow, AuditWanted, SealState
from control.audit.canonical import COLUMNS, Entry, genesis, seal
from control.domains.tenancy import Connection
from control.overview.bounded import bounded
from control.services.transactions import Transactions

# A row bears the time at which its transaction began, and its number is of a little later.
SLACK = timedelta(minutes=5)
LAST = 2**63 - 1
KINDS = ("tenant:", "operator:", "control:")

NEXT = "SELECT id, at FROM audit WHERE id >= $1 ORDER BY id LIMIT 1"
NEWEST = "SELECT max(id) FROM audit"
# Indexes that know nothing of what control did by itself say so to PostgreSQL.
BY_PEOPLE = "actor NOT LIKE 'control:%'"


def _search(conditions: Sequence[str]) -> str:
    """`$1`, `$2`: the numbers that it lies between. `$3`: how many."""
    where = " AND ".join(["id < $1", "id >= $2", *conditions])
    return f"""WITH found AS MATERIALIZED (SELECT * FROM audit WHERE {where} ORDER BY id DESC LIMIT $3)
        SELECT {COLUMNS}, a.at, s.seq, s.previous, s.hash, s.tenant_id AS chain, p.hash AS before,
            coalesce(h.anchored >= s.seq, false) AS anchored
        FROM found a LEFT JOIN audit_seals s ON s.audit_id = a.id
            LEFT JOIN audit_seals p ON p.tenant_id = s.tenant_id AND p.seq = s.seq - 1
            LEFT JOIN audit_heads h ON h.tenant_id = s.tenant_id
        ORDER BY a.id DESC"""  # noqa: S608 -- constants


class AuditSearch:
    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def page(self, caller: Operator, wanted: AuditWanted, before: int | None, limit: int) -> Sequence[AuditRow]:
        """Raises SearchTooWide."""

        async def work(connection: Connection) -> Sequence[AuditRow]:
            last = LAST if before is None else before
            first = 0
            if wanted.until is not None:
                last = min(last, await _number(connection, wanted.until + SLACK))
            if wanted.since is not None:
                first = await _number(connection, wanted.since - SLACK)
            conditions, values = _conditions(wanted)
            rows = await connection.fetch(_search(conditions), last, first, limit, *values)
            return [_row(row) for row in rows]

        return await self._transactions.read(caller, bounded(work))


def _conditions(wanted: AuditWanted) -> tuple[Sequence[str], Sequence[object]]:
    """Of what is given, in numbered parameters from $4 on."""
    actor = "actor LIKE {} || '%'" if wanted.actor in KINDS else "actor = {}"
    if wanted.actor is not None and not wanted.actor.startswith("control:"):
        actor += f" AND {BY_PEOPLE}"
    given = [
        (condition, value)
        for condition, value in (
            ("hostname = {}", wanted.hostname),
            ("tenant_id = {}", wanted.tenant_id),
            (actor, wanted.actor),
            ("action = {}", wanted.action),
            ("at >= {}", wanted.since),
            ("at < {}", wanted.until),
        )
        if value is not None
    ]
    conditions = [condition.format(f"${number}") for number, (condition, _) in enumerate(given, 4)]
    return conditions, [value for _, value in given]


async def _number(connection: Connection, moment: datetime) -> int:
    """The first row that was written after the moment, by halving; LAST: none was."""
    low, high = 0, (await connection.fetchval(NEWEST) or 0) + 1
    newest = high
    while low < high:
        middle = (low + high) // 2
        row = await connection.fetchrow(NEXT, middle)
        if row is None or row["at"] > moment:
            high = middle
        else:
            low = row["id"] + 1
    return LAST if low >= newest else low


def _row(row: asyncpg.Record) -> AuditRow:
    entry = Entry.from_row(row)
    return AuditRow(
        id=entry.id,
        at=row["at"],
        tenant_id=entry.tenant_id,
        domain_id=entry.domain_id,
        hostname=entry.hostname,
        actor=entry.actor,
        action=entry.action,
        detail=json.loads(entry.detail),
        seq=row["seq"],
        seal=_seal(row, entry),
        anchored=row["anchored"],
    )


def _seal(row: asyncpg.Record, entry: Entry) -> SealState:
    if row["seq"] is None:
        return "unsealed"
    previous = bytes(row["previous"])
    before = genesis(entry.tenant_id) if row["seq"] == 1 else row["before"]
    follows = before is not None and bytes(before) == previous and row["chain"] == entry.tenant_id
    return "sealed" if follows and seal(previous, entry) == bytes(row["hash"]) else "changed"
