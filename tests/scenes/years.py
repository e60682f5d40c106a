"""Domains of the API in the states of later years."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from core.domain import NextAttempt

NOW = datetime.now(UTC)
Tenant = Any  # tests/integration/api/conftest.py


async def domain(
    tenant: Tenant,
    control: Any,
    status: str,
    ssl: str,
    *,
    expires: datetime | None = NOW + timedelta(days=60),
    hostname: str = "shop.example.com",
) -> UUID:
    """A domain in these states, with no job; `expires`: None for one without a certificate."""
    response = await tenant.add(hostname)
    assert response.status_code == 201, response.text
    domain_id = UUID(response.json()["id"])
    certificate = expires and await control.fetchval(
        """INSERT INTO certificates (domain_id, serial, issuer, fingerprint, not_before, not_after, vault_version,
               directory_url) VALUES ($1, 'ab', 'CA', repeat('f', 64), $2, $3, 1, 'x') RETURNING id""",
        domain_id,
        expires - timedelta(days=90),
        expires,
    )
    await control.execute("DELETE FROM jobs WHERE domain_id = $1", domain_id)
    await control.execute(
        """UPDATE custom_domains SET status = $2, ssl_status = $3, failure_count = 10, certificate_id = $4,
               cert_expiry = $5, renew_at = $5, next_attempt = $6 WHERE id = $1""",
        domain_id,
        status,
        ssl,
        certificate,
        expires,
        NextAttempt(NOW, "registered_domain_limit", "example.com is at its limit.").to_json(),
    )
    return domain_id
