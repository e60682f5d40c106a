"""What an issuance writes down in PostgreSQL, beside its orders.

All methods raise DomainGone, LeaseLost, Paused, and asyncpg's errors (see control.certificates.held).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
from cryptography import x509

from control.certificates.held import Held, transaction_id
from control.certificates.orders import Limits, Orders
from control.certificates.propagation import Seen
from control.domains import transition
from control.jobs import Job
from core.certificate import Certificate, ari_id
from core.domain import Domain, Finding

# A challenge is answered for as long as its authorization can be used, within these: by PostgreSQL's clock, which
# hides those that are over.
CHALLENGE_LASTS = timedelta(minutes=10), timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Served:
    """The certificate that a renewal replaces. `ari_id`: as RFC 9773 section 4.1 names it at the CA."""

    directory_url: str
    ari_id: str | None
    ari_window: tuple[datetime, datetime] | None
    not_after: datetime


@dataclass(frozen=True, slots=True)
class PublishedChallenge:
    """`expires_at`: of its authorization, if the CA says it."""

    token: str
    key_authorization: str = field(repr=False)
    expires_at: datetime | None


Schedule: TypeAlias = "Callable[[Certificate, UUID], datetime]"

# What the platform must act on stops many domains at once: its admin is told once a day for each code.
TELL_ADMIN_EVERY = timedelta(days=1)
TELL_ADMIN = """INSERT INTO outbox (event, payload) SELECT 'platform.trouble', $1::jsonb WHERE NOT EXISTS (
    SELECT FROM outbox WHERE created_at > now() - $3::interval AND event = 'platform.trouble'
        AND payload->>'code' = $2)"""


class Ledger:
    """`actor`: for the audit. `limits`: of the CAs. `renewal`: when a certificate of a domain is to be renewed."""

    def __init__(self, pool: asyncpg.Pool[Any], actor: str, limits: Limits, renewal: Schedule) -> None:
        self._pool = pool
        self._held = Held(pool)
        self._actor = actor
        self._limits = limits
        self._renewal = renewal
        self.orders = Orders(pool, actor, limits)
        self._told: dict[str, datetime] = {}  # by code, so that a trouble of all domains asks PostgreSQL once

    async def domain(self, job: Job, *, paused_too: bool = False) -> Domain:
        """The domain, if there is still something to do for it. Does not raise Paused if `paused_too`."""
        async with self._held.by(job, paused_too=paused_too) as (_, domain):
            return domain

    async def served(self, job: Job) -> Served | None:
        """The certificate that is served now; None: the first one is still to come."""
        async with self._held.by(job) as (connection, _):
            row = await connection.fetchrow(
                """SELECT c.directory_url, c.ari_id, lower(c.ari_window), upper(c.ari_window), c.not_after
                   FROM certificates c JOIN custom_domains d ON d.certificate_id = c.id WHERE d.id = $1""",
                job.domain_id,
            )
        if row is None:
            return None
        directory_url, ari_id, start, end, not_after = row
        return Served(directory_url, ari_id, (start, end) if start and end else None, not_after)

    async def resumed(self, job: Job) -> Domain:
        """What paused the domain is over, as far as can be seen from here."""
        async with self._held.by(job) as (connection, _):
            return await transition.apply(connection, job.domain_id, "resumed", self._actor, lease=job.lease_token)

    async def publish(self, job: Job, challenges: Sequence[PublishedChallenge]) -> int:
        """Let every sidecar answer them. Returns the transaction's id."""
        async with self._held.by(job) as (connection, _):
            await connection.executemany(
                """INSERT INTO challenges (token, domain_id, key_authorization, expires_at)
                   VALUES ($1, $2, $3, least(greatest($4::timestamptz, now() + $5), now() + $6))
                   ON CONFLICT (token) DO UPDATE SET domain_id = excluded.domain_id,
                       key_authorization = excluded.key_authorization, expires_at = excluded.expires_at""",
                [
                    (one.token, job.domain_id, one.key_authorization, one.expires_at, *CHALLENGE_LASTS)
                    for one in challenges
                ],
            )
            return await transaction_id(connection)

    async def failed(
        self,
        job: Job,
        event: str,
        finding: Finding,
        problem: Mapping[str, Any],
        *,
        directory_url: str | None,
        most: int,
    ) -> Domain:
        """A failure of the domain: counted, explained, and at `most` failures the end of trying.

        `event`: challenge_failed or preflight_failed. `directory_url`: the CA that counts a failed authorization.
        """
        async with self._held.by(job) as (connection, domain):
            await self.orders.end(connection, job, domain, problem, give_back=True)
            if directory_url is not None:
                await self._limits.failed_validation(connection, directory_url, domain.hostname)
            after = await transition.apply(
                connection, job.domain_id, event, self._actor, finding=finding, lease=job.lease_token
            )
            if after.failure_count >= most:
                # With a certificate of the tenant's it is served, whatever comes of this one.
                has_failed = after.status == "verified" and after.uploaded is None
                events = ["failures_exceeded", *(["retries_exhausted"] if has_failed else [])]
                for one in events:
                    after = await transition.apply(
                        connection,
                        job.domain_id,
                        one,
                        self._actor,
                        detail={"finding": finding.code},
                        lease=job.lease_token,
                    )
            return after

    async def postponed(self, job: Job, finding: Finding) -> None:
        """Why nothing happens for now. It is nobody's failure, so it is neither counted nor audited.

        Of what the operator must mend the platform's admin is told.
        """
        told = self._told.get(finding.code)
        tell = finding.who == "operator" and (told is None or abs(finding.at - told) >= TELL_ADMIN_EVERY)
        async with self._held.by(job) as (connection, domain):
            await connection.execute(
                "UPDATE custom_domains SET ssl_finding = $2 WHERE id = $1", job.domain_id, finding.to_json()
            )
            if tell:
                facts = {"code": finding.code, "message": finding.message, "hostname": domain.hostname}
                await connection.execute(TELL_ADMIN, json.dumps(facts), finding.code, TELL_ADMIN_EVERY)
        if tell:
            self._told[finding.code] = finding.at

    async def next_attempt(self, job: Job, at: datetime, code: str, message: str) -> None:
        """When the tenant can expect the next attempt, and why not before."""
        async with self._held.by(job) as (connection, _):
            await connection.execute(
                "UPDATE custom_domains SET next_attempt = $2 WHERE id = $1",
                job.domain_id,
                json.dumps({"at": at.isoformat(), "code": code, "message": message}),
            )

    async def issued(self, job: Job, certificate: Certificate, vault_version: int, directory_url: str) -> int:
        """The certificate is in Vault: sidecars may fetch it once they see this. Returns the transaction's id."""
        async with self._held.by(job) as (connection, domain):
            await connection.execute(
                """WITH stored AS (
                       INSERT INTO certificates (domain_id, serial, issuer, fingerprint, not_before, not_after,
                           vault_version, directory_url, ari_id)
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                       ON CONFLICT (domain_id, fingerprint) DO UPDATE SET vault_version = excluded.vault_version
                       RETURNING id, not_after)
                   UPDATE custom_domains SET certificate_id = stored.id, cert_expiry = stored.not_after, renew_at = $10,
                       renewal_info_at = now(), look_at = coalesce(look_at, now()), next_attempt = NULL
                   FROM stored WHERE custom_domains.id = $1""",
                job.domain_id,
                certificate.serial,
                certificate.issuer,
                certificate.fingerprint,
                certificate.not_before,
                certificate.not_after,
                vault_version,
                directory_url,
                ari_id(x509.load_pem_x509_certificates(certificate.chain_pem.encode())[0]),
                self._renewal(certificate, job.domain_id),
            )
            await transition.apply(
                connection,
                job.domain_id,
                "certificate_stored",
                self._actor,
                detail={"serial": certificate.serial, "issuer": certificate.issuer, "not_after": certificate.not_after},
                lease=job.lease_token,
            )
            await connection.execute(
                "UPDATE acme_orders SET state = 'issued', updated_at = now() WHERE domain_id = $1 AND state = 'open'",
                job.domain_id,
            )
            await connection.execute("DELETE FROM challenges WHERE domain_id = $1", job.domain_id)
            await self._limits.succeeded(connection, directory_url, domain.hostname)
            return await transaction_id(connection)

    async def transaction_id(self) -> int:
        """Of a transaction that sees all that is committed: whoever has seen it has seen that."""
        async with self._pool.acquire() as connection:
            return await transaction_id(connection)

    async def loaded(self, job: Job, seen: Seen | None = None) -> None:
        """The sidecars can serve the certificate: the domain goes live, if it is not. `seen`: how many have said so.

        A paused one too: nothing more is attempted for that.
        """
        async with self._held.by(job, paused_too=True) as (connection, domain):
            # Trouble after the certificate was recorded, and it is over.
            if domain.ssl_finding is not None and domain.paused_from is None:
                await connection.execute("UPDATE custom_domains SET ssl_finding = NULL WHERE id = $1", domain.id)
            if domain.status == "verified":
                await transition.apply(
                    connection,
                    job.domain_id,
                    "certificate_loaded",
                    self._actor,
                    detail=None if seen is None else seen.to_json(),
                    lease=job.lease_token,
                )

    async def leave_to_revoke(self, domain_id: UUID) -> None:
        """If the domain was deleted and its revocation is over already, let it look again: something came after it."""
        await self._pool.execute(
            """INSERT INTO jobs (domain_id, kind)
               SELECT id, 'revoke' FROM custom_domains WHERE id = $1 AND deleted_at IS NOT NULL
               ON CONFLICT (domain_id) DO NOTHING""",
            domain_id,
        )
