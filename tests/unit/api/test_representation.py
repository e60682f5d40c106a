from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

from api.instructions import Target, instructions
from api.representation import detail, registration, timestamp
from core.domain import Domain

MOMENT = datetime(2026, 4, 22, 2, 0, tzinfo=UTC)
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
    created_at=MOMENT,
    updated_at=MOMENT,
    deleted_at=None,
    verify_deadline=MOMENT + timedelta(hours=72),
    verified_by=None,
    dns_finding=None,
    ssl_finding=None,
    certificate=None,
)
TARGET = Target("custom.platform.io", ("76.76.21.21",))


def test_the_registration_is_the_seeds_example() -> None:
    """Seed 002, "Register Domain — Example", but for the id's form and the milliseconds."""
    assert registration(DOMAIN, TARGET) == {
        "id": "00000000-0000-0000-0000-000000000001",
        "hostname": "mycompany.com",
        "status": "pending",
        "sslStatus": "none",
        "verificationToken": "verify-abc123def456",
        "instructions": {
            "subdomain": {"type": "CNAME", "name": "mycompany.com", "value": "custom.platform.io"},
            "apex": {"type": "A", "name": "mycompany.com", "value": "76.76.21.21"},
            "verification": {
                "type": "TXT",
                "name": "_platform-verify.mycompany.com",
                "value": "verify-abc123def456",
            },
        },
        "createdAt": "2026-04-22T02:00:00.000Z",
    }


def test_an_address_record_stands_for_each_family_that_is_configured() -> None:
    both = instructions(DOMAIN, Target("c.platform.io", ("192.0.2.1", "192.0.2.2"), ("2001:db8::1",)))
    assert both["apex"] == {
        "type": "A",
        "name": "mycompany.com",
        "value": "192.0.2.1",
        "values": ["192.0.2.1", "192.0.2.2"],
    }
    assert both["apexIpv6"] == {"type": "AAAA", "name": "mycompany.com", "value": "2001:db8::1"}
    assert list(instructions(DOMAIN, Target("c.platform.io"))) == ["subdomain", "verification"]


@pytest.mark.parametrize(
    ("status", "ssl_status", "ready"),
    [
        ("active", "issued", True),
        ("active", "expiring", True),
        ("active", "renewed", True),
        ("active", "error", False),
        ("active", "none", False),
        ("verified", "issued", False),
        ("failed", "issued", False),
    ],
)
def test_ready_is_active_with_a_certificate_that_is_served(status: str, ssl_status: str, ready: bool) -> None:
    assert detail(replace(DOMAIN, status=status, ssl_status=ssl_status), TARGET)["ready"] is ready


def test_a_moment_is_in_utc_with_milliseconds() -> None:
    assert timestamp(datetime(2026, 1, 1, 1, 2, 3, 999_999, timezone(timedelta(hours=2)))) == "2025-12-31T23:02:03.999Z"
