"""A process that publishes and removes records of one domain at its delegated name until it is killed.

Run as a program, it reads a line of JSON (it holds a secret, hence not an argument): the DSN, the domain's id, and the
zone with its key and servers. It writes a line when it begins.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import UUID

import asyncpg

from control.certificates.dns01 import Dns01
from control.dns.authoritative import Authoritative, Patience
from control.dns.delegation import Delegation
from control.dns.resolver import Resolver
from control.dns.update import Updater, tsig_key
from core.domain import COLUMNS, TABLES, Domain
from embedded.knot import ALGORITHM, KnotZone


def wire(knot: KnotZone, dsn: str, domain_id: UUID) -> dict[str, Any]:
    return {
        "dsn": dsn,
        "domain_id": str(domain_id),
        "zone": knot.zone,
        "key": [knot.key.name, knot.key.secret],
        "servers": knot.addresses,
    }


async def publish_for_ever(wiring: dict[str, Any]) -> None:
    zone, key = wiring["zone"], tsig_key(*wiring["key"], ALGORITHM)
    servers = [Resolver.parse(address) for address in wiring["servers"]]
    async with asyncpg.create_pool(wiring["dsn"], min_size=1, max_size=4) as pool:
        row = await pool.fetchrow(f"SELECT {COLUMNS} FROM {TABLES} WHERE d.id = $1", UUID(wiring["domain_id"]))
        domain = Domain.from_row(row)
        dns01 = Dns01(
            pool,
            zone,
            Updater(zone, servers[0], lambda: key),
            Authoritative(zone, [], servers, Patience(60, 60)),
            Delegation(servers, zone, lambda: datetime.now(UTC)),
        )
        print("begins", flush=True)
        for number in count():
            await dns01.publish(domain, [f"value-{number}", f"other-{number}"])
            await dns01.remove(domain)


if __name__ == "__main__":
    asyncio.run(publish_for_ever(json.loads(sys.stdin.readline())))
