"""Domains and their certificates in figures.

`who` is whose turn it is, by the domain's last finding about its certificate: `tenant`, `operator`, `ca`, or `nobody`,
where nothing is wrong or it passes by itself. What a tenant has to mend is no alarm for the operator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, get_args

import asyncpg
from prometheus_client.core import Metric

from api.catalogue import Who
from api.service import SSL_STATUSES, STATUSES
from control.domains.counts import DAYS, NOTHING, Counted, count
from core.families import gauge

WHO: tuple[str, ...] = get_args(Who)

FIRST_END = """SELECT min(ends) FROM (
    (SELECT cert_expiry AS ends FROM custom_domains WHERE deleted_at IS NULL AND status = 'active'
        AND ssl_status IN ('issued', 'renewed') AND cert_expiry IS NOT NULL ORDER BY cert_expiry LIMIT 1)
    UNION ALL (SELECT min(cert_expiry) FROM custom_domains WHERE deleted_at IS NULL AND status = 'active'
        AND ssl_status IN ('validating', 'expiring', 'error'))
    UNION ALL (SELECT min(u.not_after) FROM uploads u WHERE u.ended_at IS NULL)) AS each"""

# Those that wait or fail, by what was found: in an installation that is well they are few.
WAITING = "status IN ('pending', 'dns_check', 'failed', 'moved')"
UNFINISHED = "ssl_status IN ('error', 'paused', 'validating', 'expiring')"
FINDINGS = " UNION ALL ".join(
    f"""SELECT '{about}' AS about, {finding} ->> 'code' AS code, coalesce({finding} ->> 'who', 'nobody') AS who,
            count(*) AS domains
        FROM custom_domains WHERE deleted_at IS NULL AND {condition} AND {finding} ->> 'code' IS NOT NULL
        GROUP BY 2, 3"""  # noqa: S608 -- constants
    for about, finding, condition in (
        ("dns", "dns_finding", WAITING),
        ("certificate", "ssl_finding", f"status IN ({', '.join(map(repr, STATUSES))}) AND {UNFINISHED}"),
    )
)


async def read(pool: asyncpg.Pool[Any]) -> Sequence[Metric]:
    """As the workers' role, which sees every tenant's. Raises asyncpg's errors."""
    async with pool.acquire() as connection, connection.transaction():
        counted = await count(connection)
        findings = await connection.fetch(FINDINGS)
        return list(families(counted, findings, await connection.fetchval(FIRST_END)))


def families(counted: Counted, findings: Sequence[Mapping[str, Any]], first_end: datetime | None) -> Iterator[Metric]:
    """`findings`: rows of FINDINGS. A state that no domain is in is said to be empty: its line does not end."""
    states = {(status, ssl): 0 for status in STATUSES for ssl in SSL_STATUSES} | dict(counted.states)
    ends = dict.fromkeys(WHO, NOTHING) | dict(counted.ends)
    yield gauge("domains", "Registered domains, by state.", states, "status", "ssl_status")
    text = "Domains that wait or fail, by what was found at the last look."
    found = {(row["about"], row["code"], row["who"]): row["domains"] for row in findings}
    yield gauge("domain_findings", text, found, "about", "code", "who")
    text = "Active domains whose certificate ends within so many days, those that have ended included."
    expiring = {(str(days), who): one.within[days] for days in DAYS for who, one in ends.items()}
    yield gauge("certificates_expiring", text, expiring, "within_days", "who")
    expired = {who: one.expired for who, one in ends.items()}
    yield gauge("certificates_expired", "Active domains whose certificate has ended.", expired, "who")
    due = {who: one.due for who, one in ends.items()}
    yield gauge("renewals_due", "Certificates whose day of renewal has come, and that are not renewed yet.", due, "who")
    late = {who: one.late for who, one in ends.items()}
    yield gauge("renewals_late", "Those of them that have used up a third of the time that is left.", late, "who")
    text = "When the first certificate of an active domain ends."
    yield gauge("certificate_first_end_timestamp_seconds", text, {(): first_end.timestamp()} if first_end else {})
