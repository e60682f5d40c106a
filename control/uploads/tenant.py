"""What the tenants' API does to uploaded certificates, on Vault and PostgreSQL: `api.uploads.Uploads`.

| step    | what                                                             | after a crash behind it           |
| ------- | ---------------------------------------------------------------- | --------------------------------- |
| counted | the tenant may upload one more in this hour                      |                                   |
| checked | order, key, dates, strength (core.upload), names                 |                                   |
| begun   | upload_keys says that Vault may hold something, and whose it is; | an hour later it is forgotten     |
|         | not while what was there before is being destroyed               |                                   |
| kept    | chain and key are in Vault, by check-and-set                     | found again by the same upload;   |
|         |                                                                  | destroyed if none came in an hour |
| stands  | metadata, custom_domains.upload_id, audit, notification          |                                   |

Only the upload that began last may come to its end: PostgreSQL never names a version that Vault has not.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import structlog
from cryptography import x509

from api.auth import Principal
from api.service import PROVEN_STATUSES, Unavailable
from api.uploads import (
    MAX_UPLOADS,
    Certificates,
    KeysUnavailable,
    NoUpload,
    Taken,
    Upload,
    UploadOvertaken,
    UploadsTooMany,
)
from control.domains import requests
from control.domains.tenancy import Connection, Tenancy, actor
from control.uploads import steps
from control.uploads.schedule import Life
from control.vault import Vault, VaultConflict, VaultError
from control.vault_claims import until_free
from core.certificate import Certificate
from core.domain import CertificateFacts, Domain
from core.upload import UploadError, read_upload
from core.vault import upload_path

AT_ONCE = 4  # pairs that are checked: RSA takes some milliseconds of processor time
CAS_ATTEMPTS = 20  # each that fails is another upload's success, and of those there are few at once

LOCK_TENANT = "SELECT pg_advisory_xact_lock(hashtextextended('nameplate uploads ' || $1, 0))"
COUNT = """SELECT count(*) AS uploads,
        extract(epoch FROM min(at) + interval '1 hour' - clock_timestamp())::float8 AS seconds
    FROM upload_attempts WHERE tenant_id = $1 AND at > now() - interval '1 hour'"""
ATTEMPT = "INSERT INTO upload_attempts (tenant_id) VALUES ($1)"
BEGIN = """INSERT INTO upload_keys AS k (domain_id, attempt, clear_at) VALUES ($1, $2, now() + interval '1 hour')
    ON CONFLICT (domain_id) DO UPDATE SET attempt = excluded.attempt, attempted_at = now(),
        clear_at = excluded.clear_at WHERE k.claimed_until IS NULL OR k.claimed_until < now()
    RETURNING true"""
IS_LAST = "SELECT true FROM upload_keys WHERE domain_id = $1 AND attempt = $2 FOR UPDATE"
SHOWN = """SELECT serial, issuer, fingerprint, not_before, not_after, names, created_at FROM uploads
    WHERE domain_id = $1 AND ended_at IS NULL"""

log = structlog.get_logger(__name__)


class TenantUploads:
    """`pool`: as the API's role. `verify_ttl`: how long a tenant has to prove a domain that is tried again.

    `on_step`: called with the name of each step after it, for tests that end the process there.
    """

    def __init__(
        self,
        pool: asyncpg.Pool[Any],
        vault: Vault,
        verify_ttl: timedelta,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        most: int = MAX_UPLOADS,
        on_step: Callable[[str], None] = lambda _step: None,
    ) -> None:
        self._tenancy = Tenancy(pool)
        self._vault = vault
        self._verify_ttl = verify_ttl
        self._now = now
        self._most = most
        self._on_step = on_step
        self._places = asyncio.Semaphore(AT_ONCE)

    async def put(self, caller: Principal, domain_id: UUID, chain_pem: str, key_pem: str) -> Taken:
        domain = await self._counted(caller, domain_id)
        self._on_step("counted")
        async with self._places:
            certificate = await asyncio.to_thread(checked, chain_pem, key_pem, domain.hostname, self._now())
        self._on_step("checked")
        attempt = uuid4()
        await self._begin(caller, domain_id, attempt)
        self._on_step("begun")
        try:
            version = await self._kept(caller, domain_id, attempt, certificate)
        except VaultError as error:
            log.warning("upload_not_kept", hostname=domain.hostname, code=error.code)
            raise KeysUnavailable from error
        self._on_step("kept")
        created = await self._stands(caller, domain_id, attempt, certificate, version)
        self._on_step("stands")
        return Taken(await self.find(caller, domain_id), created)

    async def find(self, caller: Principal, domain_id: UUID) -> Certificates:
        async def work(connection: Connection) -> Certificates:
            domain = await requests.find(connection, caller, domain_id)
            row = await connection.fetchrow(SHOWN, domain_id)
            uploaded = None
            if row is not None and (facts := CertificateFacts.from_row(row)) is not None:
                served_until = Life(facts.not_before, facts.not_after).switch_at
                uploaded = Upload(facts, tuple(row["names"]), row["created_at"], served_until)
            serving = domain.status in PROVEN_STATUSES
            return Certificates(domain.id, domain.hostname, uploaded, domain.certificate, serving)

        return await self._tenancy.transact(caller, work)

    async def delete(self, caller: Principal, domain_id: UUID) -> None:
        async def work(connection: Connection) -> None:
            domain = await requests.lock(connection, caller, domain_id)
            if domain.uploaded is None:
                raise NoUpload
            await steps.end(connection, domain, "withdrawn", "withdrawn", actor(caller))

        await self._tenancy.transact(caller, work)

    async def _counted(self, caller: Principal, domain_id: UUID) -> Domain:
        async def work(connection: Connection) -> Domain:
            domain = await requests.find(connection, caller, domain_id)
            await connection.execute(LOCK_TENANT, str(caller.tenant_id))
            hour = await connection.fetchrow(COUNT, caller.tenant_id)
            if hour["uploads"] >= self._most:
                raise UploadsTooMany(self._most, math.ceil(max(hour["seconds"], 1.0)))
            await connection.execute(ATTEMPT, caller.tenant_id)
            return domain

        return await self._tenancy.transact(caller, work)

    async def _begin(self, caller: Principal, domain_id: UUID, attempt: UUID) -> None:
        """Raises KeysUnavailable: what was there before is being destroyed, and Vault does not answer."""

        async def work(connection: Connection) -> bool:
            await requests.lock(connection, caller, domain_id)
            return bool(await connection.fetchval(BEGIN, domain_id, attempt))

        if not await until_free(lambda: self._tenancy.transact(caller, work)):
            log.warning("upload_not_begun", domain_id=str(domain_id))
            raise KeysUnavailable

    async def _kept(self, caller: Principal, domain_id: UUID, attempt: UUID, certificate: Certificate) -> int:
        """Its version in Vault. Raises VaultError, UploadOvertaken."""
        path, wanted = upload_path(domain_id), certificate.to_vault()
        for _ in range(CAS_ATTEMPTS):
            stored, cas = await self._vault.read_with_cas(path)
            if stored is not None and stored.data == wanted:
                return stored.version
            try:
                return await self._vault.write(path, wanted, cas=cas)
            except VaultConflict:  # of those that write now the last one goes on
                if not await self._is_last(caller, domain_id, attempt):
                    break
        raise UploadOvertaken

    async def _is_last(self, caller: Principal, domain_id: UUID, attempt: UUID) -> bool:
        async def work(connection: Connection) -> bool:
            return bool(await connection.fetchval(IS_LAST, domain_id, attempt))

        return await self._tenancy.transact(caller, work)

    async def _stands(
        self, caller: Principal, domain_id: UUID, attempt: UUID, certificate: Certificate, version: int
    ) -> bool:
        """Whether there was none before."""

        async def work(connection: Connection) -> bool:
            was_failed = (await requests.find(connection, caller, domain_id)).status == "failed"
            if was_failed:  # the job comes before the domain
                await connection.execute(requests.REQUEST_JOB, domain_id, "verify")
            domain = await requests.lock(connection, caller, domain_id)
            if (domain.status == "failed") != was_failed:
                raise Unavailable
            is_last = await connection.fetchval(IS_LAST, domain_id, attempt)
            standing = await connection.fetchrow(steps.STANDING, domain_id)
            if standing is not None and tuple(standing) == (certificate.fingerprint, version):
                await connection.execute(steps.KEEP, domain_id)  # it was sent twice, at once or one after the other
            elif not is_last:
                raise UploadOvertaken
            else:
                life = Life(certificate.not_before, certificate.not_after)
                await steps.take(connection, domain, certificate, version, life.due_at(self._now()), actor(caller))
            if was_failed:
                await requests.start_again(connection, caller, domain, self._verify_ttl)
            return standing is None

        return await self._tenancy.transact(caller, work)


def checked(chain_pem: str, key_pem: str, hostname: str, now: datetime) -> Certificate:
    """The pair, fit to be served for `hostname` (normal form). Raises UploadError.

    Its `not_after` is that of the whole chain: clients refuse a leaf below an intermediate that has expired.
    """
    certificate = read_upload(chain_pem, key_pem, now)
    if not certificate.covers(hostname):
        named = ", ".join(certificate.names[:5]) or "no host at all"
        raise UploadError("certificate_wrong_name", f"It is not for {hostname}, but for {named}.", "/certificate")
    chain = x509.load_pem_x509_certificates(certificate.chain_pem.encode())
    certificate = replace(certificate, not_after=min(one.not_valid_after_utc for one in chain))
    if now >= (until := Life(certificate.not_before, certificate.not_after).switch_at):
        message = f"It ends too soon: it would be served until {until.isoformat()} only."
        raise UploadError("certificate_expired", message, "/certificate")
    return certificate
