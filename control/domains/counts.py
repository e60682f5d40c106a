"""How many domains are in which state, and whose certificate ends soon or is renewed late: counted in one way for the
metrics and for the operator's view.

States are counted from an index alone, the rest by the indexes of those that wait, fail or end soon: where all is well
they are few, however many domains there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from control.domains.selection import FINDING_WHO, HELD, LATE, UNFINISHED, WELL
from control.domains.tenancy import Connection

DAYS = (1, 3, 7, 14, 30)  # certificates that end within so many are counted
NO_SCAN = "SET LOCAL enable_seqscan = off"  # whatever the statistics say: the table is many times the index

STATES = """SELECT status, ssl_status, count(*) AS number FROM custom_domains WHERE deleted_at IS NULL
    GROUP BY status, ssl_status ORDER BY status, ssl_status"""
_SOON = f"now() + interval '{max(DAYS)} days'"
# `tried`: nobody has paused the renewal. In the order of the index that each is read from: without statistics another
# one would do as well, and be read from end to end.
_PARTS = " UNION ALL ".join(
    f"""(SELECT {FINDING_WHO} AS who, d.cert_expiry AS ends, d.renew_at, {late} AS late, {tried} AS tried
        FROM custom_domains d WHERE {part} AND d.upload_id IS NULL ORDER BY {order})"""  # noqa: S608 -- constants
    for part, order, late, tried in (
        (f"{WELL} AND d.cert_expiry <= {_SOON}", "d.cert_expiry", f"d.renew_at < now() AND {LATE}", "true"),
        (f"{WELL} AND d.renew_at <= now() AND (d.cert_expiry > {_SOON}) IS NOT FALSE", "d.renew_at", LATE, "true"),
        (UNFINISHED, "d.ssl_status", LATE, "true"),
        (HELD, "d.ssl_status", f"d.paused_from IS NULL AND {LATE}", "false"),
    )
)
ENDS = f"""SELECT who, count(*) FILTER (WHERE ends <= now()) AS expired,
        {", ".join(f"count(*) FILTER (WHERE ends <= now() + interval '{days} days') AS d{days}" for days in DAYS)},
        count(*) FILTER (WHERE tried AND renew_at <= now()) AS due,
        count(*) FILTER (WHERE tried AND late) AS late, count(*) FILTER (WHERE NOT tried AND late) AS late_held
    FROM ({_PARTS} UNION ALL
        SELECT {FINDING_WHO}, u.not_after, NULL, false, false
        FROM (SELECT id, domain_id, not_after FROM uploads WHERE ended_at IS NULL AND not_after <= {_SOON}
            ORDER BY not_after) u JOIN custom_domains d ON d.id = u.domain_id AND d.upload_id = u.id
        WHERE d.deleted_at IS NULL AND d.status = 'active') served
    GROUP BY who ORDER BY who"""  # noqa: S608 -- constants


@dataclass(frozen=True, slots=True)
class Ends:
    """Active domains. `within`: their certificate ends within so many days, those that are `expired` included.

    `due`: renewals whose day has come; `late`: those of them that should be over. `late_held`: those that should be
    over, and that the platform has paused.
    """

    expired: int
    within: Mapping[int, int]
    due: int
    late: int
    late_held: int


NOTHING = Ends(0, dict.fromkeys(DAYS, 0), 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Counted:
    """`states`: domains by status and ssl_status. `ends`: by who has to act, as the last finding has it."""

    states: Mapping[tuple[str, str], int]
    ends: Mapping[str, Ends]


async def count(connection: Connection) -> Counted:
    """In a transaction of the workers' role, in which no table is scanned from now on. Raises asyncpg's errors."""
    await connection.execute(NO_SCAN)
    states = {(row["status"], row["ssl_status"]): row["number"] for row in await connection.fetch(STATES)}
    ends = {
        row["who"]: Ends(
            expired=row["expired"],
            within={days: row[f"d{days}"] for days in DAYS},
            due=row["due"],
            late=row["late"],
            late_held=row["late_held"],
        )
        for row in await connection.fetch(ENDS)
    }
    return Counted(states, ends)
