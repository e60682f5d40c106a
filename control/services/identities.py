"""Client certificates for upstream services, on PostgreSQL and Vault: `api.admin.upstreams.Identities`.

The key is in Vault before PostgreSQL announces it, and is destroyed after PostgreSQL has withdrawn it. A change takes
three steps: a row that is withdrawn from birth, or the one that is there; a new version in Vault, by check-and-set; the
row is put in force with that version. So a crash leaves nothing that is used: a row that stays withdrawn is swept with
its secret, a version that no row names is read by nobody. The version before stays readable for sidecars that have not
heard of the new one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import asyncpg
import structlog

from api.admin.upstreams import ChangedMeanwhile, IdentityRecord, InUse, NotThere
from api.auth import Operator
from api.conditions import Condition, entity_tag
from api.uploads import KeysUnavailable
from control.domains.tenancy import Connection
from control.services.expiry import FORGET_OTHERS
from control.services.transactions import Transactions, audit, check_limit
from control.services.trust import used_by
from control.vault import Vault, VaultConflict, VaultError
from control.vault_claims import CLAIM_SECONDS, until_free
from core.certificate import Certificate
from core.vault import identity_path

LIMIT = 1_000  # a secret each in Envoy
SWEEP_AFTER = 120  # seconds after it was withdrawn: by then no sidecar that is alive is told of it

COUNT = "SELECT count(*) FROM identities"  # those being made too
SHOWN = """i.name, i.serial, i.issuer, i.fingerprint, i.names, i.not_before, i.not_after, i.vault_version, i.created_at,
    i.updated_at, ARRAY(SELECT s.name FROM services s WHERE s.identity = i.name ORDER BY s.name) AS services"""
SELECT = f"""SELECT {SHOWN} FROM identities i
    WHERE i.withdrawn_at IS NULL AND ($1::text IS NULL OR i.name = $1) ORDER BY i.name"""  # noqa: S608 -- constants
# Whoever begins a change of a withdrawn one keeps the sweeper from it for a while.
BEGIN = """INSERT INTO identities AS i (name, withdrawn_at) VALUES ($1, now())
    ON CONFLICT (name) DO UPDATE SET withdrawn_at = now(), claimed_until = NULL
    WHERE i.withdrawn_at IS NOT NULL AND (i.claimed_until IS NULL OR i.claimed_until < now()) RETURNING true"""
SEEN = "SELECT vault_version, created_at FROM identities WHERE name = $1"
# `created_at`: the row that was seen, and not one of the same name that came after it, whose versions begin at 1 again.
PUT_IN_FORCE = """UPDATE identities SET serial = $2, issuer = $3, fingerprint = $4, names = $5, not_before = $6,
        not_after = $7, vault_version = $8, withdrawn_at = NULL, updated_at = now(),
        created_at = CASE WHEN withdrawn_at IS NULL THEN created_at ELSE now() END
    WHERE name = $1 AND vault_version IS NOT DISTINCT FROM $9::int AND created_at = $10 AND (withdrawn_at IS NULL) = $11
        AND (withdrawn_at IS NULL OR withdrawn_at > now() - interval '60 seconds')
        AND (claimed_until IS NULL OR claimed_until < now())
    RETURNING true"""
WITHDRAW = "UPDATE identities SET withdrawn_at = now() WHERE name = $1 AND withdrawn_at IS NULL"
CLAIM = f"""UPDATE identities SET claimed_until = now() + interval '{CLAIM_SECONDS} seconds' WHERE name = (
        SELECT name FROM identities WHERE withdrawn_at < now() - make_interval(secs => $1)
            AND (claimed_until IS NULL OR claimed_until < now()) ORDER BY name LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING name, claimed_until"""  # noqa: S608 -- constants
REMOVE = "DELETE FROM identities WHERE name = $1 AND claimed_until = $2"

log = structlog.get_logger(__name__)


def nothing(_step: str) -> None: ...


class PlatformIdentities:
    """`on_step`: called with the name of each step after it, for tests that end the process there."""

    def __init__(self, transactions: Transactions, vault: Vault, on_step: Callable[[str], None] = nothing) -> None:
        self._transactions = transactions
        self._vault = vault
        self._on_step = on_step

    async def all(self, caller: Operator) -> Sequence[IdentityRecord]:
        async def work(connection: Connection) -> Sequence[IdentityRecord]:
            return [_record(row) for row in await connection.fetch(SELECT, None)]

        return await self._transactions.read(caller, work)

    async def find(self, caller: Operator, name: str) -> IdentityRecord:
        async def work(connection: Connection) -> IdentityRecord:
            return await _existing(connection, name)

        return await self._transactions.read(caller, work)

    async def put(
        self, caller: Operator, name: str, certificate: Certificate, condition: Condition
    ) -> tuple[IdentityRecord, bool]:
        seen, is_there = await self._begin(caller, name, condition)
        self._on_step("begun")
        version = await self._keep(name, certificate)
        self._on_step("kept")

        async def work(connection: Connection) -> IdentityRecord:
            facts = (certificate.serial, certificate.issuer, certificate.fingerprint, list(certificate.names))
            dates = (certificate.not_before, certificate.not_after)
            if not await connection.fetchval(PUT_IN_FORCE, name, *facts, *dates, version, *seen, is_there):
                raise ChangedMeanwhile
            await connection.execute(FORGET_OTHERS, "identity", name, [certificate.fingerprint])
            detail = {"identity": name, "serial": certificate.serial, "fingerprint": certificate.fingerprint}
            until = {"not_after": certificate.not_after.isoformat(), "vault_version": version}
            await audit(connection, caller, "identity_put", {**detail, **until})
            return await _existing(connection, name)

        return await self._transactions.change(caller, work), not is_there

    async def delete(self, caller: Operator, name: str, condition: Condition) -> None:
        async def work(connection: Connection) -> None:
            before = await _existing(connection, name)
            condition.check(before.tag)
            if before.services:
                raise InUse("identity_in_use", used_by(before.services))
            await connection.execute(WITHDRAW, name)
            await connection.execute(FORGET_OTHERS, "identity", name, [])
            detail = {"identity": name, "serial": before.serial, "fingerprint": before.fingerprint}
            await audit(connection, caller, "identity_delete", detail)

        await self._transactions.change(caller, work)

    async def _begin(
        self, caller: Operator, name: str, condition: Condition
    ) -> tuple[tuple[int | None, datetime], bool]:
        """The version that the row names and since when there is such a row, and whether it is in force.

        Raises PreconditionFailed; KeysUnavailable: the key of one before is being destroyed, and Vault does not answer.
        """

        async def work(connection: Connection) -> tuple[tuple[int | None, datetime], bool] | None:
            before = await _find(connection, name)
            condition.check(None if before is None else before.tag)
            if before is None:
                await check_limit(connection, COUNT, LIMIT)
                if not await connection.fetchval(BEGIN, name):
                    return None
            version, since = await connection.fetchrow(SEEN, name)
            return (version, since), before is not None

        begun = await until_free(lambda: self._transactions.change(caller, work))
        if begun is None:
            log.warning("identity_not_begun", identity=name)
            raise KeysUnavailable
        return begun

    async def _keep(self, name: str, certificate: Certificate) -> int:
        """Raises ChangedMeanwhile, KeysUnavailable."""
        path = identity_path(name)
        try:
            _, cas = await self._vault.read_with_cas(path)
            return await self._vault.write(path, certificate.to_vault(), cas=cas)
        except VaultConflict:
            raise ChangedMeanwhile from None
        except VaultError as error:
            log.warning("identity_not_kept", identity=name, code=error.code)
            raise KeysUnavailable from error


async def sweep(pool: asyncpg.Pool[Any], vault: Vault, after: int = SWEEP_AFTER) -> int:
    """Destroy what was withdrawn `after` seconds ago, with its key. Returns how many. Raises VaultError, asyncpg's.

    The row is claimed until its secret is destroyed, so nobody begins to make one of the same name meanwhile. Where
    Vault does not answer, or the process ends, the claim runs out, and somebody claims it again.
    """
    swept = 0
    while row := await pool.fetchrow(CLAIM, after):
        await vault.destroy(identity_path(row["name"]))
        await pool.execute(REMOVE, row["name"], row["claimed_until"])
        log.info("identity_destroyed", identity=row["name"])
        swept += 1
    return swept


async def _existing(connection: Connection, name: str) -> IdentityRecord:
    """Raises NotThere."""
    found = await _find(connection, name)
    if found is None:
        raise NotThere("identity_not_found")
    return found


async def _find(connection: Connection, name: str) -> IdentityRecord | None:
    row = await connection.fetchrow(SELECT, name)
    return None if row is None else _record(row)


def _record(row: asyncpg.Record) -> IdentityRecord:
    return IdentityRecord(
        name=row["name"],
        serial=row["serial"],
        issuer=row["issuer"],
        fingerprint=row["fingerprint"],
        names=tuple(row["names"]),
        not_before=row["not_before"],
        not_after=row["not_after"],
        tag=entity_tag(row["fingerprint"], str(row["vault_version"])),
        services=tuple(row["services"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
