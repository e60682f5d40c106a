"""What the CAs' limits leave, and what is under way at each CA, in figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg
from prometheus_client.core import Metric

from control.certificates.authorities import Authorities
from control.limits.limits import UNLIMITED, Limits
from core.families import gauge

OPEN = "SELECT directory_url, count(*) FROM acme_orders WHERE state = 'open' GROUP BY directory_url"
# The CA's own word that a limit is reached (control.limits.refusal).
REFUSED = """SELECT directory_url, substr(bucket, 9) AS scope, count(*) AS keys FROM rate_buckets
    WHERE tat > now() AND bucket LIKE 'refused\\_%' GROUP BY 1, 2"""


async def read(pool: asyncpg.Pool[Any], authorities: Authorities, limits: Limits) -> Sequence[Metric]:
    """As the workers' role. Raises asyncpg's errors."""
    names = {one.directory_url: one.name for one in authorities}
    left = {one.name: await limits.room(pool, one.directory_url) for one in authorities}
    under_way = dict.fromkeys(names.values(), 0)
    under_way |= {names[url]: number for url, number in await pool.fetch(OPEN) if url in names}
    refused = {(names[url], scope): keys for url, scope, keys in await pool.fetch(REFUSED) if url in names}
    text = "New orders that the CA's limits let the account send now. Without limits there is no figure."
    limited = {name: room for name, room in left.items() if room < UNLIMITED}
    return (
        gauge("acme_orders_left", text, limited, "ca"),
        gauge("acme_orders_open", "Orders that were sent, or are about to be, and are not decided.", under_way, "ca"),
        gauge("acme_limits_reached", "Limits that the CA itself calls reached, by scope.", refused, "ca", "scope"),
    )
