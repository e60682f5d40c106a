"""A domain as control and the API are given it, without a database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from core.domain import Domain

NOW = datetime(2026, 4, 22, 2, 0, tzinfo=UTC)

DOMAIN = Domain(
    id=UUID(int=1),
    tenant_id=UUID(int=2),
    hostname="mycompany.com",
    verification_token="abc123def456",
    status="pending",
    ssl_status="none",
    cert_expiry=None,
    failure_count=0,
    metadata={},
    created_at=NOW,
    updated_at=NOW,
    deleted_at=None,
    verify_deadline=NOW + timedelta(hours=72),
    verified_by=None,
    dns_finding=None,
    ssl_finding=None,
    certificate=None,
    target_label="t-0123456789abcdef0123",
    acme_label="0123456789abcdef0123456789abcdef",
)


def domain(hostname: str, **fields: Any) -> Domain:
    """Seed 002's example, but for these fields."""
    return replace(DOMAIN, hostname=hostname, **fields)
