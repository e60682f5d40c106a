"""Whether a name that is proven and not served yet is still its tenant's: somebody else may have proved it since.

The watch asks the same of names that are active (control.dns.presence).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import asyncpg

from control.dns.ownership import Ownership
from control.dns.sighting import Code, Expected, words
from core.domain import Domain, Finding
from core.target import tenant_target

CONTESTED = """SELECT EXISTS (SELECT FROM custom_domains WHERE hostname = $1 AND tenant_id <> $2 AND deleted_at IS NULL
    AND status = 'dns_check' AND dns_finding->>'code' = 'hostname_in_use')"""


class Rivals:
    """`platform_target`: below which each tenant has its CNAME target."""

    def __init__(
        self, pool: asyncpg.Pool[Any], ownership: Ownership, platform_target: str, now: Callable[[], datetime]
    ) -> None:
        self._pool = pool
        self._ownership = ownership
        self._platform_target = platform_target.removesuffix(".").lower()
        self._now = now

    async def against(self, domain: Domain) -> Finding | None:
        """What is in the way of its first certificate. Raises what PostgreSQL raises."""
        if domain.status != "verified":
            return None
        if not await self._pool.fetchval(CONTESTED, domain.hostname, domain.tenant_id):
            return None
        look = await self._ownership.look(domain)
        if look.verdict != "absent" or not await self._ownership.token_is_gone(domain):
            return None
        own = tenant_target(domain.target_label, self._platform_target)
        expected = Expected(domain.hostname, domain.txt_name, own, self._platform_target, None)
        who, message = words(expected, Code.OWNERSHIP_CONTESTED)
        return Finding(Code.OWNERSHIP_CONTESTED, message, who, self._now(), look.finding.detail)
