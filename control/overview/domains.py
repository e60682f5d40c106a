"""Domains of all tenants, a page at a time: each view is the front of an index, or of a few that are put together.

A page begins just after a place: the keys that the view is ordered by. Rows that come and go meanwhile move nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

import asyncpg

from api.auth import Operator
from api.overview.domains import DomainFacts, DomainRow, Wanted
from api.overview.places import Place
from api.service import DomainNotFound
from control.domains.selection import CODE, FAILING, IS_LATE, LATE_PARTS, PARTS, PAUSED, WHO
from control.domains.tenancy import Connection
from control.overview.bounded import bounded
from control.services.transactions import Transactions
from core.domain import CertificateFacts, Finding, NextAttempt

HOST = 'd.hostname COLLATE "C"'
FIRST_ID = str(UUID(int=0))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC).isoformat()

SHOWN = f"""d.id, d.tenant_id, t.slug, d.hostname, d.status, d.ssl_status, d.upload_id IS NOT NULL AS uploaded,
    CASE WHEN d.upload_id IS NULL THEN d.cert_expiry ELSE u.not_after END AS expires, d.renew_at, d.next_attempt,
    d.failure_count, d.created_at, d.updated_at, d.deleted_at, d.dns_finding, d.ssl_finding,
    CASE WHEN d.ssl_status <> 'paused' THEN NULL WHEN d.paused_from IS NULL THEN 'platform' ELSE 'tenant' END
        AS paused_by,
    {IS_LATE} AS late"""
JOINED = """custom_domains d JOIN tenants t ON t.id = d.tenant_id LEFT JOIN uploads u ON u.id = d.upload_id"""
ONE = f"""SELECT {SHOWN}, c.serial, c.issuer, c.fingerprint, c.not_before, c.not_after, c.directory_url,
        u.serial AS uploaded_serial, u.issuer AS uploaded_issuer, u.fingerprint AS uploaded_fingerprint,
        u.not_before AS uploaded_not_before, u.not_after AS uploaded_not_after,
        j.kind, j.run_at, j.attempts, j.leased_by, j.lease_until > now() AS leased,
        greatest((SELECT xid FROM changes WHERE kind = 'domain' AND key = d.hostname ORDER BY xid DESC LIMIT 1),
            (SELECT pruned_xid FROM feed))::text::bigint AS generation
    FROM {JOINED} LEFT JOIN certificates c ON c.id = d.certificate_id LEFT JOIN jobs j ON j.domain_id = d.id
    WHERE d.id = $1"""  # noqa: S608 -- constants


def _page(chosen: str) -> str:
    """`chosen`: a query of `id` and `keys`, in order, of at most as many as are wanted."""
    return f"""WITH chosen AS MATERIALIZED (SELECT row_number() OVER () AS place, * FROM ({chosen}) page)
        SELECT chosen.keys, {SHOWN} FROM chosen JOIN custom_domains d ON d.id = chosen.id
            JOIN tenants t ON t.id = d.tenant_id LEFT JOIN uploads u ON u.id = d.upload_id
        ORDER BY chosen.place"""  # noqa: S608 -- constants


# Parameters: $1 how many, $2 and $3 the place, the others as the view needs them.
ALL = f"""SELECT d.id, ARRAY[d.hostname, d.id::text] AS keys FROM custom_domains d
    WHERE d.deleted_at IS NULL AND ({HOST}, d.id) > ($2, $3::uuid) ORDER BY {HOST}, d.id LIMIT $1"""  # noqa: S608
STATUS = f"""SELECT d.id, ARRAY[d.ssl_status, d.hostname, d.id::text] AS keys FROM custom_domains d
    WHERE d.deleted_at IS NULL AND d.status = $5 AND ($6::text IS NULL OR d.ssl_status = $6)
        AND (d.ssl_status, {HOST}, d.id) > ($4, $2, $3::uuid)
    ORDER BY d.ssl_status, {HOST}, d.id LIMIT $1"""  # noqa: S608
TENANT = """SELECT d.id, ARRAY[d.created_at::text, d.id::text] AS keys FROM custom_domains d
    WHERE d.deleted_at IS NULL AND d.tenant_id = $4 AND (d.created_at, d.id) > ($2::timestamptz, $3::uuid)
    ORDER BY d.created_at, d.id LIMIT $1"""
BROKEN = f"""SELECT d.id, ARRAY[{CODE}, d.hostname, d.id::text] AS keys FROM custom_domains d
    WHERE {FAILING} AND ($5::text IS NULL OR {CODE} = $5) AND ($6::text IS NULL OR {WHO} = $6)
        AND ({CODE}, {HOST}, d.id) > ($4, $2, $3::uuid) ORDER BY {CODE}, {HOST}, d.id LIMIT $1"""  # noqa: S608
HELD = f"""SELECT d.id, ARRAY[{CODE}, d.hostname, d.id::text] AS keys FROM custom_domains d
    WHERE {PAUSED} AND ({CODE}, {HOST}, d.id) > ($4, $2, $3::uuid) ORDER BY {CODE}, {HOST}, d.id LIMIT $1"""  # noqa: S608


def _soonest(parts: Sequence[str], column: str) -> str:
    """The first of each part by a moment, then the first of all."""
    return " UNION ALL ".join(
        f"""(SELECT d.id, d.{column} AS moment FROM custom_domains d WHERE {part} AND d.upload_id IS NULL
            AND (d.{column}, d.id) > ($2::timestamptz, $3::uuid) ORDER BY d.{column}, d.id LIMIT $1)"""  # noqa: S608
        for part in parts
    )


ENDING = f"""SELECT id, ARRAY[moment::text, id::text] AS keys FROM (
        {_soonest(tuple(f"{part} AND d.cert_expiry < now() + $4::int * interval '1 day'" for part in PARTS), "cert_expiry")}
        UNION ALL (SELECT d.id, u.not_after
            FROM uploads u JOIN custom_domains d ON d.id = u.domain_id AND d.upload_id = u.id
            WHERE u.ended_at IS NULL AND u.not_after < now() + $4::int * interval '1 day'
                AND d.deleted_at IS NULL AND d.status = 'active'
                AND (u.not_after, d.id) > ($2::timestamptz, $3::uuid) ORDER BY u.not_after, d.id LIMIT $1)) ends
    ORDER BY moment, id LIMIT $1"""  # noqa: S608, E501
OVERDUE = f"""SELECT id, ARRAY[moment::text, id::text] AS keys FROM ({_soonest(LATE_PARTS, "renew_at")}) due
    ORDER BY moment, id LIMIT $1"""  # noqa: S608
# Names that begin with it, then those that end with it: two arms, one after the other. Hostnames are ASCII, so what
# begins with a text lies between it and it with DEL. The place is the only lower bound: of two, the index may be read
# from the lower one on.
BEGINS = f"""SELECT d.id, ARRAY['0', d.hostname, d.id::text] AS keys FROM custom_domains d
    WHERE d.deleted_at IS NULL AND {HOST} < $4 AND ({HOST}, d.id) > ($2, $3::uuid)
    ORDER BY {HOST}, d.id LIMIT $1"""  # noqa: S608
BACKWARDS = 'reverse(d.hostname) COLLATE "C"'
ENDS = f"""SELECT d.id, ARRAY['1', reverse(d.hostname), d.id::text] AS keys FROM custom_domains d
    WHERE d.deleted_at IS NULL AND {BACKWARDS} < $4 AND ({BACKWARDS}, d.id) > ($2, $3::uuid)
        AND ({HOST} < $5 OR {HOST} >= $6)
    ORDER BY {BACKWARDS}, d.id LIMIT $1"""  # noqa: S608
DEL = "\x7f"


class DomainLists:
    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def page(self, caller: Operator, wanted: Wanted, after: Place | None, limit: int) -> Sequence[DomainRow]:
        """Raises SearchTooWide."""

        keys = () if after is None else after.keys
        try:
            if keys:
                UUID(keys[-1])
            query, arguments = ("", ()) if wanted.view == "search" else STATEMENTS[wanted.view](wanted, keys)
        except ValueError:  # somebody has made the place up
            return []

        async def work(connection: Connection) -> Sequence[DomainRow]:
            if wanted.view == "search":
                return await _search(connection, wanted.text or "", keys, limit)
            return [_row(row) for row in await connection.fetch(_page(query), limit, *arguments)]

        return await self._transactions.read(caller, bounded(work))

    async def find(self, caller: Operator, domain_id: UUID) -> DomainFacts:
        """Deleted ones too. Raises DomainNotFound."""

        async def work(connection: Connection) -> DomainFacts:
            row = await connection.fetchrow(ONE, domain_id)
            if row is None:
                raise DomainNotFound
            return _facts(row)

        return await self._transactions.read(caller, work)


async def _search(connection: Connection, text: str, keys: Sequence[str], limit: int) -> Sequence[DomainRow]:
    backwards = text[::-1]
    arm, *place = keys if len(keys) == 3 else ("0", "", FIRST_ID)
    rows: list[asyncpg.Record] = []
    if arm == "0":
        rows += await connection.fetch(_page(BEGINS), limit, *max(place, [text, FIRST_ID]), text + DEL)
        place = []
    if len(rows) < limit:
        start = max(place, [backwards, FIRST_ID])
        rows += await connection.fetch(_page(ENDS), limit - len(rows), *start, backwards + DEL, text, text + DEL)
    return [_row(row) for row in rows]


def _at(keys: Sequence[str], *first: str) -> list[str]:
    """The place, or the one before everything."""
    return list(keys) if len(keys) == len(first) else list(first)


def _of_all(_wanted: Wanted, keys: Sequence[str]) -> tuple[str, Sequence[object]]:
    return ALL, _at(keys, "", FIRST_ID)


def _of_status(wanted: Wanted, keys: Sequence[str]) -> tuple[str, Sequence[object]]:
    ssl_status, hostname, domain_id = _at(keys, "", "", FIRST_ID)
    return STATUS, (hostname, domain_id, ssl_status, wanted.status, wanted.ssl_status)


def _of_tenant(wanted: Wanted, keys: Sequence[str]) -> tuple[str, Sequence[object]]:
    created_at, domain_id = _at(keys, EPOCH, FIRST_ID)
    return TENANT, (datetime.fromisoformat(created_at), domain_id, wanted.tenant_id)


def _of_failing(wanted: Wanted, keys: Sequence[str]) -> tuple[str, Sequence[object]]:
    code, hostname, domain_id = _at(keys, "", "", FIRST_ID)
    return BROKEN, (hostname, domain_id, code, wanted.code, wanted.who)


def _of_paused(_wanted: Wanted, keys: Sequence[str]) -> tuple[str, Sequence[object]]:
    code, hostname, domain_id = _at(keys, "", "", FIRST_ID)
    return HELD, (hostname, domain_id, code)


def _of_expiring(wanted: Wanted, keys: Sequence[str]) -> tuple[str, Sequence[object]]:
    moment, domain_id = _at(keys, EPOCH, FIRST_ID)
    return ENDING, (datetime.fromisoformat(moment), domain_id, wanted.days)


def _of_late(_wanted: Wanted, keys: Sequence[str]) -> tuple[str, Sequence[object]]:
    moment, domain_id = _at(keys, EPOCH, FIRST_ID)
    return OVERDUE, (datetime.fromisoformat(moment), domain_id)


STATEMENTS: Mapping[str, Callable[[Wanted, Sequence[str]], tuple[str, Sequence[object]]]] = {
    "all": _of_all,
    "status": _of_status,
    "tenant": _of_tenant,
    "failing": _of_failing,
    "paused": _of_paused,
    "expiring": _of_expiring,
    "late": _of_late,
}


def _row(row: asyncpg.Record, keys: Sequence[str] | None = None) -> DomainRow:
    finding = row["ssl_finding"] if row["ssl_status"] in ("error", "paused") else row["dns_finding"]
    if finding is None and row["status"] not in ("failed", "moved"):
        finding = row["ssl_finding"]
    return DomainRow(
        id=row["id"],
        tenant_id=row["tenant_id"],
        slug=row["slug"],
        hostname=row["hostname"],
        status=row["status"],
        ssl_status=row["ssl_status"],
        reason=Finding.from_json(finding),
        uploaded=row["uploaded"],
        expires=row["expires"],
        renew_at=row["renew_at"],
        late=row["late"],
        paused_by=row["paused_by"],
        next_attempt=NextAttempt.from_json(row["next_attempt"]),
        failures=row["failure_count"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        deleted_at=row["deleted_at"],
        place=Place(tuple(row["keys"] if keys is None else keys)),
    )


def _facts(row: asyncpg.Record) -> DomainFacts:
    facts = CertificateFacts.from_row(row, "uploaded_" if row["uploaded"] else "")
    certificate = (
        None
        if facts is None
        else {
            "source": "uploaded" if row["uploaded"] else "managed",
            "ca": None if row["uploaded"] else row["directory_url"],
            "facts": facts,
        }
    )
    job = None
    if row["kind"] is not None:
        job = {
            "kind": row["kind"],
            "runAt": row["run_at"],
            "attempts": row["attempts"],
            "replica": row["leased_by"] if row["leased"] else None,
        }
    return DomainFacts(
        row=_row(row, ()),
        dns=Finding.from_json(row["dns_finding"]),
        ssl=Finding.from_json(row["ssl_finding"]),
        certificate=certificate,
        job=job,
        generation=row["generation"],
    )
