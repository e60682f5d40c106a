"""Bundles of certificate authorities on PostgreSQL, for they are public: `api.admin.upstreams.TrustStore`.

What their certificates say is kept beside them: to read those of all bundles again takes seconds.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import asyncpg

from api.admin.upstreams import InUse, NotThere, TrustFacts, TrustRecord
from api.auth import Operator
from api.conditions import Condition, entity_tag
from control.domains.tenancy import Connection
from control.services.expiry import FORGET_OTHERS
from control.services.transactions import Transactions, audit, check_limit
from core.service import DEFAULT
from core.trust import Authority, TrustBundle, TrustError

LIMIT = 200  # of up to 512 KB each, in the memory of each sidecar and of Envoy
COUNT = "SELECT count(*) FROM trust"
# A service that names none needs the one called default.
FACTS = f"""t.name, t.authorities, t.created_at, t.updated_at, ARRAY(
        SELECT s.name FROM services s WHERE s.trust = t.name OR t.name = '{DEFAULT}'
            AND jsonb_typeof(s.spec -> 'tls') = 'object' AND s.spec #>> '{{tls,trust}}' IS NULL ORDER BY s.name
    ) AS services"""  # noqa: S608 -- a constant
ALL = f"SELECT {FACTS} FROM trust t ORDER BY t.name"  # noqa: S608
ONE = f"SELECT {FACTS}, t.pem FROM trust t WHERE t.name = $1"  # noqa: S608
PUT = """INSERT INTO trust (name, pem, authorities) VALUES ($1, $2, $3)
    ON CONFLICT (name) DO UPDATE SET pem = excluded.pem, authorities = excluded.authorities, updated_at = now()"""
UNREAD = "SELECT name, pem FROM trust WHERE authorities IS NULL LIMIT 1"
READ = "UPDATE trust SET authorities = $3 WHERE name = $1 AND pem = $2"
DELETE = "DELETE FROM trust WHERE name = $1"
MOST_SHOWN = 5


class PlatformTrust:
    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def all(self, caller: Operator) -> Sequence[TrustFacts]:
        async def work(connection: Connection) -> Sequence[asyncpg.Record]:
            return list(await connection.fetch(ALL))

        rows = await self._transactions.read(caller, work)
        return await asyncio.to_thread(lambda: [_facts(row) for row in rows])

    async def find(self, caller: Operator, name: str) -> TrustRecord:
        async def work(connection: Connection) -> TrustRecord:
            return await _existing(connection, name)

        return await self._transactions.read(caller, work)

    async def put(
        self, caller: Operator, name: str, bundle: TrustBundle, condition: Condition
    ) -> tuple[TrustRecord, bool]:
        fingerprints = [one.fingerprint for one in bundle.authorities]

        async def work(connection: Connection) -> tuple[TrustRecord, bool]:
            before = await _find(connection, name)
            condition.check(None if before is None else before.tag)
            if before is not None and before.pem == bundle.pem:
                return before, False
            if before is None:
                await check_limit(connection, COUNT, LIMIT)
            await connection.execute(PUT, name, bundle.pem, _stored(bundle))
            await connection.execute(FORGET_OTHERS, "trust", name, fingerprints)
            await audit(connection, caller, "trust_put", {"trust": name, "fingerprints": fingerprints})
            return await _existing(connection, name), before is None

        return await self._transactions.change(caller, work)

    async def delete(self, caller: Operator, name: str, condition: Condition) -> None:
        async def work(connection: Connection) -> None:
            before = await _existing(connection, name)
            condition.check(before.tag)
            if before.facts.services:
                raise InUse("trust_in_use", used_by(before.facts.services))
            await connection.execute(DELETE, name)
            await connection.execute(FORGET_OTHERS, "trust", name, [])
            await audit(connection, caller, "trust_delete", {"trust": name})

        await self._transactions.change(caller, work)


async def read_unread(pool: asyncpg.Pool[Any]) -> None:
    """What an earlier release or somebody's own SQL has put there. `pool`: as the workers' role. Raises asyncpg's."""
    while row := await pool.fetchrow(UNREAD):
        try:
            read = _stored(await asyncio.to_thread(TrustBundle.parse, row["pem"]))
        except TrustError:  # shown without them, so that it can be replaced; the sidecar leaves it out, and says so
            read = "[]"
        await pool.execute(READ, row["name"], row["pem"], read)


def used_by(services: Sequence[str]) -> str:
    """A sentence."""
    more = len(services) - MOST_SHOWN
    shown = ", ".join(services[:MOST_SHOWN])
    return f"It is used by {shown}" + (f" and {more} more." if more > 0 else ".")


async def _existing(connection: Connection, name: str) -> TrustRecord:
    """Raises NotThere."""
    found = await _find(connection, name)
    if found is None:
        raise NotThere("trust_not_found")
    return found


async def _find(connection: Connection, name: str) -> TrustRecord | None:
    row = await connection.fetchrow(ONE, name)
    return None if row is None else TrustRecord(_facts(row), row["pem"], entity_tag(row["pem"]))


def _facts(row: asyncpg.Record) -> TrustFacts:
    return TrustFacts(
        name=row["name"],
        authorities=tuple(map(Authority.from_json, json.loads(row["authorities"] or "[]"))),
        services=tuple(row["services"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _stored(bundle: TrustBundle) -> str:
    return json.dumps([one.to_json() for one in bundle.authorities])
