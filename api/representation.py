"""A domain as JSON: the names of seed 002, in its order, then what the detail adds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from api.instructions import Target, instructions
from api.service import SERVABLE_SSL_STATUSES
from core.domain import CertificateFacts, Domain, Finding


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds, as `2026-04-22T02:00:00.000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def registration(domain: Domain, target: Target) -> dict[str, Any]:
    """The 201 body of seed 002, key by key."""
    return {
        "id": str(domain.id),
        "hostname": domain.hostname,
        "status": domain.status,
        "sslStatus": domain.ssl_status,
        "verificationToken": domain.txt_value,
        "instructions": instructions(domain, target),
        "createdAt": timestamp(domain.created_at),
    }


def detail(domain: Domain, target: Target) -> dict[str, Any]:
    return registration(domain, target) | {
        "updatedAt": timestamp(domain.updated_at),
        "ready": domain.status == "active" and domain.ssl_status in SERVABLE_SSL_STATUSES,
        "verification": {
            "method": domain.verified_by,
            "deadline": timestamp(domain.verify_deadline),
            **_finding(domain.dns_finding),
        },
        "ssl": _finding(domain.ssl_finding),
        "certificate": None if domain.certificate is None else _certificate(domain.certificate),
        "certExpiry": None if domain.cert_expiry is None else timestamp(domain.cert_expiry),
        "failureCount": domain.failure_count,
    }


def _finding(finding: Finding | None) -> Mapping[str, Any]:
    """What the last look found and who can mend it; all null before the first look."""
    return {
        "checkedAt": None if finding is None else timestamp(finding.at),
        "code": None if finding is None else finding.code,
        "message": None if finding is None else finding.message,
        "who": None if finding is None else finding.who,
        "detail": None if finding is None else dict(finding.detail),
    }


def _certificate(facts: CertificateFacts) -> Mapping[str, Any]:
    return {
        "serial": facts.serial,
        "issuer": facts.issuer,
        "fingerprint": facts.fingerprint,
        "notBefore": timestamp(facts.not_before),
        "notAfter": timestamp(facts.not_after),
    }
