"""A domain as JSON: the names of seed 002, in its order, then what the detail adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from api.instructions import Target, instructions
from api.service import REGISTRATIONS_HOURS, STATUSES, Entry, Quota
from api.uploads import WARN_BEFORE, Certificates
from core.domain import FOR_TENANTS, CertificateFacts, Domain, Finding, NextAttempt

# Sidecars have its name, and serve it as long as its certificate lasts, whatever has become of the renewal.
SERVED_STATUSES = frozenset({"active", "moved"})
CHECK_MEMBERS = ("check", "code", "ok", "blocking", "who", "message", "expected", "found")


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds, as `2026-04-22T02:00:00.000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def optional_timestamp(moment: datetime | None) -> str | None:
    return None if moment is None else timestamp(moment)


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


def detail(domain: Domain, target: Target, now: datetime) -> dict[str, Any]:
    return registration(domain, target) | {
        "updatedAt": timestamp(domain.updated_at),
        "ready": domain.status in SERVED_STATUSES and domain.in_use is not None and domain.in_use.not_after > now,
        "verification": {
            "method": domain.verified_by,
            "deadline": timestamp(domain.verify_deadline),
            **_finding(domain.dns_finding),
        },
        "ssl": _finding(_for_tenants(domain.ssl_finding)),
        "certificate": _in_use(domain),
        "certificateWarning": None if domain.uploaded is None else warning(domain.uploaded, now),
        "certExpiry": optional_timestamp(domain.cert_expiry if domain.uploaded is None else domain.uploaded.not_after),
        "renewAt": None if domain.paused_from else optional_timestamp(domain.renew_at),
        "challenges": list(target.challenges(domain.hostname)),
        "failureCount": domain.failure_count,
        "nextAttempt": next_attempt(domain.next_attempt),
    }


def audit_entry(entry: Entry) -> dict[str, Any]:
    """Who of the platform's own processes or people it was is nothing to a tenant."""
    return {
        "id": entry.id,
        "at": timestamp(entry.at),
        "hostname": entry.hostname,
        "actor": entry.actor if entry.actor.startswith("tenant:") else "platform",
        "action": entry.action,
        "detail": dict(entry.detail),
    }


def diagnosis(domain: Domain, report: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """`report`: as `api.service.Diagnostician` gives it."""
    return {
        "id": str(domain.id),
        "hostname": domain.hostname,
        "checkedAt": timestamp(now),
        "ok": report["ok"],
        "usable": report["usable"],
        "checks": [{name: check[name] for name in CHECK_MEMBERS} for check in report["checks"]],
    }


def allowance(quota: Quota) -> dict[str, Any]:
    return {
        "limit": quota.limit,
        "used": quota.used,
        "remaining": quota.remaining,
        "byStatus": {status: quota.by_status.get(status, 0) for status in STATUSES},
        "registrations": {
            "hours": REGISTRATIONS_HOURS,
            "limit": quota.registrations_limit,
            "used": quota.registered,
            "remaining": quota.registrations_remaining,
        },
    }


def next_attempt(attempt: NextAttempt | None) -> Mapping[str, Any] | None:
    if attempt is None:
        return None
    return {"at": timestamp(attempt.at), "code": attempt.code, "message": attempt.message}


def _finding(finding: Finding | None) -> Mapping[str, Any]:
    """What the last look found and who can mend it; all null before the first look."""
    return {
        "checkedAt": None if finding is None else timestamp(finding.at),
        "code": None if finding is None else finding.code,
        "message": None if finding is None else finding.message,
        "who": None if finding is None else finding.who,
        "detail": None if finding is None else dict(finding.detail),
    }


def _for_tenants(finding: Finding | None) -> Finding | None:
    """Without the platform's inside: addresses, paths."""
    if finding is None or finding.who != "operator":
        return finding
    return replace(finding, message=FOR_TENANTS, detail={})


def certificates(found: Certificates, now: datetime) -> dict[str, Any]:
    upload = found.uploaded
    uploaded = upload and {
        **certificate(upload.facts),
        "names": list(upload.names),
        "uploadedAt": timestamp(upload.uploaded_at),
        "servedUntil": timestamp(upload.served_until),
        "warning": warning(upload.facts, now),
    }
    return {
        "id": str(found.domain_id),
        "hostname": found.hostname,
        "inUse": found.in_use,
        "serving": found.serving and found.in_use is not None,
        "uploaded": uploaded,
        "managed": None if found.managed is None else certificate(found.managed),
    }


def warning(uploaded: CertificateFacts, now: datetime) -> Mapping[str, Any] | None:
    """What its tenant has to do about it; None: nothing yet."""
    left = uploaded.not_after - now
    if left > WARN_BEFORE:
        return None
    ends = timestamp(uploaded.not_after)
    message = f"The uploaded certificate ends at {ends}; upload the next one before that."
    return {"code": "certificate_expires_soon", "message": message, "days": max(left.days, 0)}


def _in_use(domain: Domain) -> Mapping[str, Any] | None:
    if domain.in_use is None:
        return None
    return {"source": "managed" if domain.uploaded is None else "uploaded", **certificate(domain.in_use)}


def certificate(facts: CertificateFacts) -> Mapping[str, Any]:
    return {
        "serial": facts.serial,
        "issuer": facts.issuer,
        "fingerprint": facts.fingerprint,
        "notBefore": timestamp(facts.not_before),
        "notAfter": timestamp(facts.not_after),
    }
