"""A custom domain as control and the API know it: one row of `custom_domains`, with its certificate's facts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

TXT_LABEL = "_platform-verify"
TXT_PREFIX = "verify-"

# The columns that Domain.from_row reads, and the tables that they are read from.
COLUMNS = """d.id, d.tenant_id, d.hostname, d.verification_token, d.status, d.ssl_status, d.cert_expiry,
    d.failure_count, d.metadata, d.created_at, d.updated_at, d.deleted_at, d.verify_deadline, d.verified_by,
    d.dns_finding, d.ssl_finding, d.renew_at, d.next_attempt, d.acme_label, d.paused_from,
    c.serial, c.issuer, c.fingerprint, c.not_before, c.not_after,
    u.serial AS uploaded_serial, u.issuer AS uploaded_issuer, u.fingerprint AS uploaded_fingerprint,
    u.not_before AS uploaded_not_before, u.not_after AS uploaded_not_after,
    t.target_label"""
TABLES = """custom_domains d JOIN tenants t ON t.id = d.tenant_id
    LEFT JOIN certificates c ON c.id = d.certificate_id LEFT JOIN uploads u ON u.id = d.upload_id"""


# What only the operator can mend names the platform's inside: he is told the whole of it, and tenants this.
FOR_TENANTS = "Something of the platform's own has to be mended first; its operators have been told."


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found at the last look, and who can mend it.

    `code`: stable, snake_case. `message`: one sentence. `who`: 'tenant', 'operator', 'ca' or 'nobody'.
    `detail`: JSON facts, e.g. {"expected": …, "found": […], "resolvers": {…}}.
    """

    code: str
    message: str
    who: str
    at: datetime
    detail: Mapping[str, Any]

    def to_json(self) -> str:
        return json.dumps(
            {
                "code": self.code,
                "message": self.message,
                "who": self.who,
                "at": self.at.isoformat(),
                "detail": dict(self.detail),
            }
        )

    @classmethod
    def from_json(cls, text: str | None) -> Finding | None:
        if text is None:
            return None
        fields = json.loads(text)
        return cls(
            fields["code"],
            fields["message"],
            fields["who"],
            datetime.fromisoformat(fields["at"]),
            fields.get("detail", {}),
        )


@dataclass(frozen=True, slots=True)
class NextAttempt:
    """When a certificate is tried for again, and why not before. `code`: stable, snake_case."""

    at: datetime
    code: str
    message: str

    def to_json(self) -> str:
        return json.dumps({"at": self.at.isoformat(), "code": self.code, "message": self.message})

    @classmethod
    def from_json(cls, text: str | None) -> NextAttempt | None:
        if text is None:
            return None
        fields = json.loads(text)
        return cls(datetime.fromisoformat(fields["at"]), fields["code"], fields["message"])


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    serial: str
    issuer: str
    fingerprint: str
    not_before: datetime
    not_after: datetime

    @classmethod
    def from_row(cls, row: Mapping[str, Any], prefix: str = "") -> CertificateFacts | None:
        """Of the columns whose names begin with `prefix`; None: the row has none."""
        if row[f"{prefix}serial"] is None:
            return None
        return cls(*(row[prefix + name] for name in ("serial", "issuer", "fingerprint", "not_before", "not_after")))


@dataclass(frozen=True, slots=True)
class Domain:
    """`hostname`: normal form. `verification_token`: without the `verify-` of the TXT record's value.

    `certificate`: the managed one. `uploaded`: the tenant's own, which is served instead as long as there is one.
    `target_label`: of the tenant, see core.target. `acme_label`: see core.delegation.
    `paused_from`: the ssl_status that its tenant has paused, and to which resuming leads back; None: the tenant has not
    (too many failures may have).
    """

    id: UUID
    tenant_id: UUID
    hostname: str
    verification_token: str
    status: str
    ssl_status: str
    cert_expiry: datetime | None
    failure_count: int
    metadata: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    verify_deadline: datetime
    verified_by: str | None
    dns_finding: Finding | None
    ssl_finding: Finding | None
    certificate: CertificateFacts | None
    renew_at: datetime | None = None
    next_attempt: NextAttempt | None = None
    target_label: str = ""
    acme_label: str = ""
    uploaded: CertificateFacts | None = None
    paused_from: str | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Domain:
        return cls(
            id=row["id"],
            tenant_id=row["tenant_id"],
            hostname=row["hostname"],
            verification_token=row["verification_token"],
            status=row["status"],
            ssl_status=row["ssl_status"],
            cert_expiry=row["cert_expiry"],
            failure_count=row["failure_count"],
            metadata=json.loads(row["metadata"]),
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            deleted_at=row["deleted_at"],
            verify_deadline=row["verify_deadline"],
            verified_by=row["verified_by"],
            dns_finding=Finding.from_json(row["dns_finding"]),
            ssl_finding=Finding.from_json(row["ssl_finding"]),
            certificate=CertificateFacts.from_row(row),
            renew_at=row["renew_at"],
            next_attempt=NextAttempt.from_json(row["next_attempt"]),
            target_label=row["target_label"],
            acme_label=row["acme_label"],
            uploaded=CertificateFacts.from_row(row, "uploaded_"),
            paused_from=row["paused_from"],
        )

    @property
    def in_use(self) -> CertificateFacts | None:
        return self.uploaded or self.certificate

    @property
    def txt_name(self) -> str:
        """A wildcard is proven at its parent."""
        return f"{TXT_LABEL}.{self.hostname.removeprefix('*.')}"

    @property
    def txt_value(self) -> str:
        return TXT_PREFIX + self.verification_token
