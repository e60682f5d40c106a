"""The TXT records of DNS-01 at domains' delegated names: written down, sent to the zone, waited for, and removed.

A record is written down before it is sent and crossed out after it is gone, so a killed worker leaves nothing behind
for ever: what belongs to no open order is removed a while later (`clear`). Records are removed value by value, because
a wildcard shares its name with its base name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import structlog

from control import rounds
from control.dns.authoritative import Authoritative
from control.dns.delegation import Delegation
from control.dns.resolver import Resolver
from control.dns.update import DnsUpdateError, Updater
from control.settings import ControlSettings
from core.domain import Domain, Finding

CLEAR_EVERY = 120.0  # seconds, with jitter; replicas pass over each other's rows
CLEAR_AFTER = "10 minutes"  # since a record was written last

log = structlog.get_logger(__name__)

WRITE_DOWN = """
INSERT INTO acme_txt (domain_id, name, value) SELECT $1, $2, unnest($3::text[])
ON CONFLICT (domain_id, name, value) DO UPDATE SET written_at = now()
"""
# Locked, so that whoever wants to write the same value again waits until it is gone.
OF_DOMAIN = "SELECT domain_id, name, value FROM acme_txt WHERE domain_id = $1 ORDER BY name, value FOR UPDATE"
LEFT_BEHIND = f"""
SELECT domain_id, name, value FROM acme_txt t WHERE written_at < now() - interval '{CLEAR_AFTER}'
    AND NOT EXISTS (SELECT FROM acme_orders o JOIN custom_domains d ON d.id = o.domain_id
                    WHERE o.domain_id = t.domain_id AND o.state = 'open' AND d.deleted_at IS NULL
                        AND d.status <> 'moved')
ORDER BY written_at LIMIT 1 FOR UPDATE SKIP LOCKED
"""  # noqa: S608 -- a constant
WANTED_BY_OTHERS = "SELECT value FROM acme_txt WHERE name = $1 AND value = ANY($2) AND domain_id <> $3"
LATER = "UPDATE acme_txt SET written_at = now() WHERE domain_id = $1 AND name = $2 AND value = $3"
CROSS_OUT = "DELETE FROM acme_txt WHERE domain_id = $1 AND name = $2 AND value = ANY($3)"


class Dns01:
    """`zone`: the platform's, without a final dot. All methods raise DnsUpdateError and asyncpg's errors."""

    def __init__(
        self,
        pool: asyncpg.Pool[Any],
        zone: str,
        updater: Updater,
        authoritative: Authoritative,
        delegation: Delegation,
    ) -> None:
        self._pool = pool
        self._zone = zone
        self._updater = updater
        self._authoritative = authoritative
        self._delegation = delegation

    def name(self, domain: Domain) -> str:
        """The name in the zone to which the tenant's CNAME must lead."""
        return self._delegation.name(domain)

    async def look(self, domain: Domain) -> Finding:
        """What is at `_acme-challenge.<host>`, right or wrong. Raises nothing."""
        return await self._delegation.look(domain)

    async def delegated(self, domain: Domain) -> Finding | None:
        """None: the tenant's CNAME is there; else what is wrong. Raises nothing."""
        finding = await self.look(domain)
        return None if finding.code == "delegation_found" else finding

    async def publish(self, domain: Domain, values: Sequence[str]) -> None:
        """Return when every server of the zone shows the values. May be repeated."""
        name = self.name(domain)
        await self._pool.execute(WRITE_DOWN, domain.id, name, sorted(set(values)))
        await self._updater.add(name, values)
        await self._authoritative.wait(name, values)

    async def remove(self, domain: Domain) -> None:
        """All values of this domain, those of earlier runs too. May be repeated."""
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(OF_DOMAIN, domain.id)
            await self._remove(connection, rows)

    async def clear(self) -> int:
        """Remove what belongs to no order any more, a record at a time; return how many there were.

        One that cannot be removed now goes to the end of the queue. Raises asyncpg's errors.
        """
        count = 0
        while True:
            async with self._pool.acquire() as connection, connection.transaction():
                rows = await connection.fetch(LEFT_BEHIND)
                if not rows:
                    break
                try:
                    await self._remove(connection, rows)
                    count += 1
                except DnsUpdateError as error:
                    log.warning("dns_leftovers_kept", code=error.code, reason=error.message)
                    await connection.execute(LATER, rows[0]["domain_id"], rows[0]["name"], rows[0]["value"])
        if count:
            log.info("dns_leftovers_removed", count=count)
        return count

    async def keep_clear(self) -> None:
        """For as long as the process lives."""
        await rounds.keep(self.clear, CLEAR_EVERY, "dns_leftovers_kept")

    async def _remove(self, connection: asyncpg.Connection[Any], rows: Sequence[asyncpg.Record]) -> None:
        groups: dict[tuple[UUID, str], list[str]] = defaultdict(list)
        for row in rows:
            groups[row["domain_id"], row["name"]].append(row["value"])
        for (domain_id, name), values in groups.items():
            kept = {row["value"] for row in await connection.fetch(WANTED_BY_OTHERS, name, values, domain_id)}
            gone = [value for value in values if value not in kept]
            if gone and self._is_ours(name):
                await self._updater.remove(name, gone)
            await connection.execute(CROSS_OUT, domain_id, name, values)

    def _is_ours(self, name: str) -> bool:
        """A record in a zone of earlier settings is out of reach."""
        return name.endswith(f".{self._zone}")


def dns01(
    settings: ControlSettings, pool: asyncpg.Pool[Any], resolvers: Sequence[Resolver], now: Callable[[], datetime]
) -> Dns01 | None:
    """By the settings; None when they have no zone. `resolvers`: those that tenants' names are asked of."""
    if settings.acme_dns_zone is None:
        return None
    zone = settings.acme_dns_zone
    return Dns01(pool, zone, updater(settings), authoritative(settings, resolvers), Delegation(resolvers, zone, now))


def updater(settings: ControlSettings) -> Updater:
    """The settings must have a zone."""
    assert settings.acme_dns_zone and settings.acme_dns_server  # noqa: S101 -- they come together
    return Updater(settings.acme_dns_zone, Resolver.parse(settings.acme_dns_server), settings.acme_dns_key)


def authoritative(settings: ControlSettings, resolvers: Sequence[Resolver]) -> Authoritative:
    """The settings must have a zone. `resolvers`: asked for its NS records when the settings name no servers."""
    assert settings.acme_dns_zone  # noqa: S101
    servers = [Resolver.parse(text) for text in settings.acme_dns_servers]
    return Authoritative(settings.acme_dns_zone, resolvers, servers)
