from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from scenes.domains import DOMAIN

from api.instructions import Target, instructions
from api.representation import audit_entry, detail, registration, timestamp
from api.service import Entry
from core.domain import CertificateFacts, NextAttempt

MOMENT = datetime(2026, 4, 22, 2, 0, tzinfo=UTC)
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
            "subdomain": {
                "type": "CNAME",
                "name": "mycompany.com",
                "value": "t-0123456789abcdef0123.custom.platform.io",
            },
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


CERTIFICATE = CertificateFacts("ab", "CA", "f" * 64, MOMENT - timedelta(days=60), MOMENT + timedelta(days=30))


@pytest.mark.parametrize(
    ("status", "ssl_status", "ready"),
    [
        ("active", "issued", True),
        ("active", "expiring", True),
        ("active", "renewed", True),
        ("active", "error", True),
        ("active", "paused", True),
        ("moved", "issued", True),
        ("verified", "issued", False),
        ("failed", "issued", False),
    ],
)
def test_ready_is_served_with_a_certificate_whatever_becomes_of_its_renewal(
    status: str, ssl_status: str, ready: bool
) -> None:
    domain = replace(DOMAIN, status=status, ssl_status=ssl_status, certificate=CERTIFICATE)
    assert detail(domain, TARGET, MOMENT)["ready"] is ready
    assert detail(domain, TARGET, CERTIFICATE.not_after)["ready"] is False
    assert detail(replace(domain, certificate=None), TARGET, MOMENT)["ready"] is False


def test_the_next_attempt_and_the_renewal_are_shown() -> None:
    attempt = NextAttempt(MOMENT, "registered_domain_limit", "example.com is at its limit.")
    shown = detail(replace(DOMAIN, next_attempt=attempt, renew_at=MOMENT), TARGET, MOMENT)
    assert shown["renewAt"] == "2026-04-22T02:00:00.000Z"
    assert shown["nextAttempt"] == {
        "at": "2026-04-22T02:00:00.000Z",
        "code": "registered_domain_limit",
        "message": "example.com is at its limit.",
    }
    assert NextAttempt.from_json(attempt.to_json()) == attempt
    nothing = detail(DOMAIN, TARGET, MOMENT)
    assert (nothing["renewAt"], nothing["nextAttempt"]) == (None, None)


@pytest.mark.parametrize(
    ("hostname", "zone", "challenges"),
    [
        ("shop.example.com", None, ["http-01"]),
        ("shop.example.com", "acme.platform.io", ["http-01", "dns-01"]),
        ("*.example.com", "acme.platform.io", ["dns-01"]),
        ("*.example.com", None, []),
        (".".join(["a" * 49] * 5 + ["com"]), "acme.platform.io", ["http-01"]),
    ],
)
def test_the_challenges_are_those_that_can_be_met(hostname: str, zone: str | None, challenges: list[str]) -> None:
    target = Target("custom.platform.io", acme_zone=zone)
    domain = replace(DOMAIN, hostname=hostname, acme_label="0f" * 16)
    assert detail(domain, target, MOMENT)["challenges"] == challenges
    made = instructions(domain, target).get("challenge")
    parent = hostname.removeprefix("*.")
    delegation = {"type": "CNAME", "name": f"_acme-challenge.{parent}", "value": "0f" * 16 + ".acme.platform.io"}
    assert made == (delegation if "dns-01" in challenges else None)


@pytest.mark.parametrize(
    ("actor", "shown"),
    [("tenant:alice", "tenant:alice"), ("control:host-1", "platform"), ("operator:root", "platform")],
)
def test_of_the_platforms_own_actors_nothing_is_told(actor: str, shown: str) -> None:
    assert audit_entry(Entry(1, MOMENT, "a.example.com", actor, "add", {}))["actor"] == shown


def test_a_moment_is_in_utc_with_milliseconds() -> None:
    assert timestamp(datetime(2026, 1, 1, 1, 2, 3, 999_999, timezone(timedelta(hours=2)))) == "2025-12-31T23:02:03.999Z"
