"""Domains and their certificates in figures.

`who` is whose turn it is, by the domain's last finding about its certificate: `tenant`, `operator`, `ca`, or `nobody`,
where nothing is wrong or it passes by itself. What a tenant has to mend is no alarm for the operator.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg
from prometheus_client.core import Metric

from control.domains.states import DOMAIN, SSL
from core.families import gauge

DAYS = (1, 3, 7, 14, 30)
WHO = ("tenant", "operator", "ca", "nobody")
# A renewal is late when a third of the time between its day and the end of the certificate has passed.
LATE = "renew_at + (cert_expiry - renew_at) / 3"

# From an index alone.
STATES = "SELECT status, ssl_status, count(*) AS domains FROM custom_domains WHERE deleted_at IS NULL GROUP BY 1, 2"
FIRST_END = """SELECT min(ends) FROM (
    (SELECT cert_expiry AS ends FROM custom_domains WHERE deleted_at IS NULL AND status = 'active'
        AND ssl_status IN ('issued', 'renewed') AND cert_expiry IS NOT NULL ORDER BY cert_expiry LIMIT 1)
    UNION ALL (SELECT min(cert_expiry) FROM custom_domains WHERE deleted_at IS NULL AND status = 'active'
        AND ssl_status IN ('validating', 'expiring', 'error'))
    UNION ALL (SELECT min(u.not_after) FROM uploads u WHERE u.ended_at IS NULL)) AS each"""

# Those that wait, fail or end soon, each by the index that knows them: in an installation that is well they are few.
WAITING = "status IN ('pending', 'dns_check', 'failed', 'moved')"
UNFINISHED = "ssl_status IN ('error', 'paused', 'validating', 'expiring')"
NOTABLE = f"""
SELECT dns_code, dns_who, ssl_code, coalesce(ssl_who, 'nobody') AS who, count(*) AS domains,
    count(*) FILTER (WHERE served AND ends <= now()) AS expired,
    {", ".join(f"count(*) FILTER (WHERE served AND ends <= now() + interval '{n} days') AS within_{n}" for n in DAYS)},
    count(*) FILTER (WHERE renewed AND renew_at <= now()) AS due,
    count(*) FILTER (WHERE renewed AND {LATE} <= now()) AS late
FROM (
    SELECT renew_at, cert_expiry, coalesce(u.not_after, cert_expiry) AS ends,
        status = 'active' AS served,
        status = 'active' AND ssl_status <> 'paused' AND upload_id IS NULL AS renewed,
        CASE WHEN {WAITING} THEN dns_finding->>'code' END AS dns_code,
        CASE WHEN {WAITING} THEN dns_finding->>'who' END AS dns_who,
        CASE WHEN {UNFINISHED} THEN ssl_finding->>'code' END AS ssl_code,
        CASE WHEN {UNFINISHED} THEN ssl_finding->>'who' END AS ssl_who
    FROM custom_domains d LEFT JOIN uploads u ON u.id = d.upload_id
    WHERE d.deleted_at IS NULL AND (
        (status IN ('pending', 'dns_check', 'verified'))
        OR (status IN ('failed', 'moved'))
        OR (status = 'active' AND ssl_status IN ('validating', 'expiring', 'error'))
        OR (status = 'active' AND ssl_status = 'paused')
        OR (status = 'active' AND ssl_status IN ('issued', 'renewed') AND renew_at <= now())
        OR (status = 'active' AND ssl_status IN ('issued', 'renewed')
            AND cert_expiry <= now() + interval '{max(DAYS)} days'))
    UNION ALL
    SELECT NULL, NULL, u.not_after, true, false, NULL, NULL, NULL, NULL
    FROM uploads u JOIN custom_domains d ON d.upload_id = u.id
    WHERE u.ended_at IS NULL AND u.not_after <= now() + interval '{max(DAYS)} days'
        AND d.deleted_at IS NULL AND d.status = 'active'
        AND (d.ssl_status = 'none' OR d.ssl_status IN ('issued', 'renewed')
            AND d.renew_at > now() AND d.cert_expiry > now() + interval '{max(DAYS)} days')
) AS notable
GROUP BY dns_code, dns_who, ssl_code, who
"""  # noqa: S608 -- constants

STATUSES = tuple(sorted({status for status, _ in DOMAIN} | {step.to for step in DOMAIN.values()}))
SSL_STATUSES = tuple(sorted({status for status, _ in SSL} | {step.to for step in SSL.values()}))


async def read(pool: asyncpg.Pool[Any]) -> Sequence[Metric]:
    """As the workers' role, which sees every tenant's. Raises asyncpg's errors."""
    states, notable = await pool.fetch(STATES), await pool.fetch(NOTABLE)
    return list(families(states, notable, await pool.fetchval(FIRST_END)))


def families(
    states: Sequence[Mapping[str, Any]], notable: Sequence[Mapping[str, Any]], first_end: datetime | None
) -> Iterator[Metric]:
    """Of the rows of STATES and NOTABLE. A state that no domain is in is said to be empty: its line does not end."""
    by_state = Counter({(status, ssl): 0 for status in STATUSES for ssl in SSL_STATUSES})
    by_state.update({(row["status"], row["ssl_status"]): row["domains"] for row in states})
    findings: Counter[tuple[str, ...]] = Counter()
    expiring = Counter({(str(days), who): 0 for days in DAYS for who in WHO})
    expired, due, late = (Counter(dict.fromkeys(WHO, 0)) for _ in range(3))
    for row in notable:
        who = row["who"]
        for about, code, whose in (("dns", row["dns_code"], row["dns_who"]), ("certificate", row["ssl_code"], who)):
            if code is not None:
                findings[about, code, whose or "nobody"] += row["domains"]
        expired[who] += row["expired"]
        due[who] += row["due"]
        late[who] += row["late"]
        for days in DAYS:
            expiring[str(days), who] += row[f"within_{days}"]
    yield gauge("domains", "Registered domains, by state.", by_state, "status", "ssl_status")
    text = "Domains that wait or fail, by what was found at the last look."
    yield gauge("domain_findings", text, findings, "about", "code", "who")
    text = "Active domains whose certificate ends within so many days, those that have ended included."
    yield gauge("certificates_expiring", text, expiring, "within_days", "who")
    yield gauge("certificates_expired", "Active domains whose certificate has ended.", expired, "who")
    yield gauge("renewals_due", "Certificates whose day of renewal has come, and that are not renewed yet.", due, "who")
    yield gauge("renewals_late", "Those of them that have used up a third of the time that is left.", late, "who")
    text = "When the first certificate of an active domain ends."
    yield gauge("certificate_first_end_timestamp_seconds", text, {(): first_end.timestamp()} if first_end else {})
