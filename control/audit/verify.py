"""The whole audit log against its seals, the seals against their heads, the heads against the checkpoints, and the last
checkpoint against Vault. Reads one snapshot; the log goes on being written meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg

from control.audit.anchor import Anchor
from control.audit.canonical import COLUMNS, FIRST_CHECKPOINT, Entry, checkpoint
from control.audit.chain import Chain, End, Finding, Link

Connection: TypeAlias = "asyncpg.Connection[Any]"

LINKS = f"""SELECT s.tenant_id AS chain, s.seq, s.audit_id, s.previous, s.hash, {COLUMNS}
    FROM audit_seals s LEFT JOIN audit a ON a.id = s.audit_id
    WHERE $1::uuid IS NULL OR s.tenant_id = $1 ORDER BY s.tenant_id, s.seq"""  # noqa: S608 -- constants
UNSEALED = """SELECT id, tenant_id FROM audit a WHERE ($1::uuid IS NULL OR tenant_id = $1)
    AND NOT EXISTS (SELECT FROM audit_seals s WHERE s.audit_id = a.id) ORDER BY id"""
HEADS = "SELECT tenant_id, seq, hash, anchored FROM audit_heads WHERE $1::uuid IS NULL OR tenant_id = $1"
CHECKPOINTS = "SELECT number, heads::text AS heads, previous, hash FROM audit_checkpoints ORDER BY number"
# What checkpoints have said of one chain, beside what stands there now.
POINTS = """SELECT (c.heads -> $1::uuid::text ->> 0)::bigint AS seq, c.heads -> $1::uuid::text ->> 1 AS listed,
        encode(s.hash, 'hex') AS hash
    FROM audit_checkpoints c JOIN audit_seals s
        ON s.tenant_id = $1 AND s.seq = (c.heads -> $1::uuid::text ->> 0)::bigint
    WHERE c.heads ? $1::uuid::text ORDER BY c.number"""
PREFETCH = 500


@dataclass(slots=True)
class Report:
    """What was looked at; filled while the findings come."""

    rows: int = 0
    tenants: int = 0
    checkpoints: int = 0
    findings: list[Finding] = field(default_factory=list)


async def verify(connection: Connection, anchor: Anchor | None, tenant_id: UUID | None = None) -> Report:
    """Everything, or one tenant's chain. `anchor`: from Vault, read before; None: it has none, or was not asked.

    Raises asyncpg's errors.
    """
    report = Report()
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        points: dict[UUID, End] = {}
        async for finding in _checkpoints(connection, anchor, points, report):
            report.findings.append(finding)
        if tenant_id is not None:
            points = {known: end for known, end in points.items() if known == tenant_id}
        heads: dict[UUID, End] = {}
        for row in await connection.fetch(HEADS, tenant_id):
            heads[row["tenant_id"]] = End(row["seq"], bytes(row["hash"]))
            listed = points.get(row["tenant_id"])
            if row["anchored"] > (listed.seq if listed else 0):
                report.findings.append(
                    Finding("unanchored", row["tenant_id"], row["anchored"], row["anchored"], "no checkpoint lists it")
                )
        async for finding in _chains(connection, heads, points, tenant_id, report):
            report.findings.append(finding)
        for row in await connection.fetch(UNSEALED, tenant_id):
            report.findings.append(
                Finding("unsealed", row["tenant_id"], 0, 0, "did not come in by the log's own way", row["id"])
            )
    return report


async def _checkpoints(
    connection: Connection, anchor: Anchor | None, points: dict[UUID, End], report: Report
) -> AsyncIterator[Finding]:
    """Fills `points` with the last End of each tenant."""
    previous, expected, anchored = FIRST_CHECKPOINT, 1, False
    async for row in connection.cursor(CHECKPOINTS, prefetch=PREFETCH):
        number, hash_ = row["number"], bytes(row["hash"])
        report.checkpoints += 1
        if number > expected:
            yield Finding("removed", None, expected, number - 1, "was made and is not there")
        elif row["previous"] != previous:
            yield Finding("changed", None, number, number, "follows another one than when it was made")
        if checkpoint(bytes(row["previous"]), number, row["heads"]) != hash_:
            yield Finding("changed", None, number, number, "is not what was made")
        if anchor is not None and number == anchor.number:
            anchored = True
            if hash_ != anchor.hash:
                yield Finding("unanchored", None, number, number, "is not what Vault has of it")
        previous, expected = hash_, number + 1
        _list(row["heads"], points)
    if anchor is not None and not anchored:
        first = min(expected, anchor.number)
        yield Finding("removed", None, first, anchor.number, "was made, as Vault knows, and is not there")


def _list(heads: str, points: dict[UUID, End]) -> None:
    """What cannot be read was changed, which the checkpoint's own hash has said already."""
    try:
        for tenant, (seq, hash_) in json.loads(heads).items():
            points[UUID(tenant)] = End(int(seq), bytes.fromhex(hash_))
    except (AttributeError, TypeError, ValueError):
        return


async def _chains(
    connection: Connection,
    heads: dict[UUID, End],
    points: dict[UUID, End],
    tenant_id: UUID | None,
    report: Report,
) -> AsyncIterator[Finding]:
    chain: Chain | None = None
    unseen = heads.keys() | points.keys()
    async for row in connection.cursor(LINKS, tenant_id, prefetch=PREFETCH):
        if chain is None or chain.tenant_id != row["chain"]:
            if chain is not None:
                for finding in await _ended(connection, chain):
                    yield finding
            chain = Chain(row["chain"], heads.get(row["chain"]), points.get(row["chain"]))
            unseen.discard(chain.tenant_id)
            report.tenants += 1
        report.rows += 1
        entry = Entry.from_row(row) if row["id"] is not None else None
        link = Link(row["seq"], row["audit_id"], bytes(row["previous"]), bytes(row["hash"]), entry)
        for finding in chain.follow(link):
            yield finding
    for last in [chain, *(Chain(one, heads.get(one), points.get(one)) for one in sorted(unseen))]:
        if last is not None:
            for finding in await _ended(connection, last):
                yield finding


async def _ended(connection: Connection, chain: Chain) -> Sequence[Finding]:
    rows = await connection.fetch(
        "SELECT hash, seq FROM audit_seals WHERE tenant_id = $1 AND hash = ANY($2::bytea[])",
        chain.tenant_id,
        list(chain.strays),
    )
    findings = list(chain.end({bytes(row["hash"]): row["seq"] for row in rows}))
    if chain.is_rewritten:
        good = 0
        for row in await connection.fetch(POINTS, chain.tenant_id):
            if row["listed"] != row["hash"]:
                text = "are not all what was written; their seals were made anew"
                return [*findings, Finding("changed", chain.tenant_id, good + 1, row["seq"], text)]
            good = row["seq"]
    return findings
