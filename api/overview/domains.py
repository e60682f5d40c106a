"""Domains of all tenants: which are wanted, a row of a list, and all that is known of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from api.overview.places import Place
from api.representation import certificate, next_attempt, optional_timestamp, timestamp
from core.domain import Finding, NextAttempt

View = Literal["all", "search", "status", "tenant", "failing", "paused", "expiring", "late"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which domains. `text`: what hostnames begin or end with. `code`, `who`: of the failing. `days`: of expiring."""

    view: View = "all"
    text: str | None = None
    status: str | None = None
    ssl_status: str | None = None
    tenant_id: UUID | None = None
    code: str | None = None
    who: str | None = None
    days: int = 30


@dataclass(frozen=True, slots=True)
class DomainRow:
    """`reason`: what was found that stands in its way, or was found last. `expires`: of the certificate in use.

    `late`: its renewal should be over. `paused_by`: tenant, platform. `place`: in the list that it is of.
    """

    id: UUID
    tenant_id: UUID
    slug: str
    hostname: str
    status: str
    ssl_status: str
    reason: Finding | None
    uploaded: bool
    expires: datetime | None
    renew_at: datetime | None
    late: bool
    paused_by: str | None
    next_attempt: NextAttempt | None
    failures: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    place: Place


@dataclass(frozen=True, slots=True)
class DomainFacts:
    """One domain, whosesoever it is. `dns`, `ssl`: the whole findings. `job`: what it waits for; None: nothing."""

    row: DomainRow
    dns: Finding | None
    ssl: Finding | None
    certificate: Mapping[str, Any] | None
    job: Mapping[str, Any] | None
    generation: int


def domain_of(row: DomainRow) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "tenant": str(row.tenant_id),
        "slug": row.slug,
        "hostname": row.hostname,
        "status": row.status,
        "sslStatus": row.ssl_status,
        "reason": finding_of(row.reason),
        "pausedBy": row.paused_by,
        "certificate": None if row.expires is None else "uploaded" if row.uploaded else "managed",
        "certExpiry": optional_timestamp(row.expires),
        "renewAt": optional_timestamp(row.renew_at),
        "renewalLate": row.late,
        "nextAttempt": next_attempt(row.next_attempt),
        "failureCount": row.failures,
        "createdAt": timestamp(row.created_at),
        "updatedAt": timestamp(row.updated_at),
        "deletedAt": optional_timestamp(row.deleted_at),
    }


def facts_of(domain: DomainFacts) -> dict[str, Any]:
    held = domain.certificate
    return domain_of(domain.row) | {
        "generation": domain.generation,
        "dns": finding_of(domain.dns, whole=True),
        "ssl": finding_of(domain.ssl, whole=True),
        "certificateFacts": None
        if held is None
        else {"source": held["source"], "ca": held["ca"], **certificate(held["facts"])},
        "job": None if domain.job is None else {**domain.job, "runAt": timestamp(domain.job["runAt"])},
    }


def finding_of(finding: Finding | None, *, whole: bool = False) -> dict[str, Any] | None:
    """In the platform's own words: operators are told what tenants are not."""
    if finding is None:
        return None
    said: dict[str, Any] = {
        "code": finding.code,
        "message": finding.message,
        "who": finding.who,
        "at": timestamp(finding.at),
    }
    return said | {"detail": dict(finding.detail)} if whole else said
