"""A tenant's certificates and client certificates, changed by many at once beside control's own work on them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
from scenes.client_certificates import Authority
from scenes.hierarchy import Hierarchy

from api.auth import Principal
from api.client_auth import NoClientAuth, Settings
from api.service import DomainExists, DomainNotFound, Reply, Unavailable
from api.uploads import NoUpload, UploadOvertaken
from control.client_auth.endings import Endings as ClientAuthEndings
from control.client_auth.tenant import TenantClientAuths
from control.domains.tenants import TenantDomains
from control.uploads.clearing import Clearing
from control.uploads.endings import Endings
from control.uploads.tenant import TenantUploads
from control.vault import Vault
from core.vault import upload_path

HOSTS = ("a.example.com", "b.example.com")
PAIRS = {host: [Hierarchy.of(host) for _ in range(2)] for host in HOSTS}
AUTHORITIES = [Authority.root(f"Root {number}", number) for number in range(2)]
REFUSALS = (DomainExists, DomainNotFound, NoClientAuth, NoUpload, Unavailable, UploadOvertaken)
WORKERS, EACH = 8, 40

GO_LIVE = "UPDATE custom_domains SET status = 'active' WHERE deleted_at IS NULL AND status = 'pending'"
AGE_KEYS = "UPDATE upload_keys SET clear_at = now() - interval '1 s' WHERE clear_at < now() + interval '6 minutes'"
TORN = """SELECT d.id FROM custom_domains d LEFT JOIN uploads u ON u.domain_id = d.id AND u.ended_at IS NULL
    WHERE d.deleted_at IS NULL AND d.upload_id IS DISTINCT FROM u.id"""
SERVED = """SELECT u.domain_id, u.vault_version, u.fingerprint
    FROM custom_domains d JOIN uploads u ON u.id = d.upload_id
    WHERE d.deleted_at IS NULL"""
LEFT_OVER = (
    "SELECT count(*) FROM client_auth a JOIN custom_domains d ON d.id = a.domain_id WHERE d.deleted_at IS NOT NULL"
)
REGISTRATIONS = 10_000


class Nobody:
    """There are no sidecars."""

    async def wait(self, *_: Any) -> None: ...


async def test_what_many_leave_fits_together(
    pool: asyncpg.Pool[Any], workers: asyncpg.Pool[Any], vault: Vault, uploads: Any, caller: Principal
) -> None:
    tenants = TenantDomains(pool, timedelta(hours=1), REGISTRATIONS)
    certificates: TenantUploads = uploads(pool, most=REGISTRATIONS)
    client_auths = TenantClientAuths(pool, most=REGISTRATIONS)
    clearing = Clearing(workers, vault, Nobody())  # type: ignore[arg-type]
    endings = Endings(workers, "control:test")
    ids: dict[str, UUID] = {}

    async def add(host: str) -> None:
        def reply(domain: Any) -> Reply:
            ids[host] = domain.id
            return Reply("{}", "/")

        await tenants.add(caller, host, None, reply)

    def anything(random: Random) -> Awaitable[Any]:
        host = random.choice(HOSTS)
        domain, pair = ids[host], random.choice(PAIRS[host])
        settings = Settings("required", random.choice(AUTHORITIES).pem, None, True, ("san",), None)
        later = datetime.now(UTC) + timedelta(days=random.choice((0, 360, 366)))
        calls: list[Callable[[], Awaitable[Any]]] = [
            *[lambda: certificates.put(caller, domain, pair.chain, pair.leaf.key_pem)] * 4,
            *[lambda: client_auths.put(caller, domain, settings)] * 2,
            lambda: certificates.delete(caller, domain),
            lambda: client_auths.delete(caller, domain),
            lambda: workers.execute(GO_LIVE),
            lambda: workers.execute(AGE_KEYS),
            clearing.round,
            endings.round,
            ClientAuthEndings(workers, "control:test", lambda: later).round,
        ]
        return random.choice(calls)()

    async def many(random: Random) -> None:
        for turn in range(EACH):
            try:
                if turn % 10 == 9:  # few: a tenant may not register and delete for ever
                    host = random.choice(HOSTS)
                    await tenants.delete(caller, ids[host])
                    await add(host)
                await anything(random)
            except REFUSALS:
                continue

    for host in HOSTS:
        await add(host)
    await asyncio.gather(*(many(Random(seed)) for seed in range(WORKERS)))

    assert await workers.fetch(TORN) == []
    assert await workers.fetchval(LEFT_OVER) == 0
    for row in await workers.fetch(SERVED):
        secret = await vault.read(upload_path(row["domain_id"]), row["vault_version"])
        assert secret is not None, "what is served is in Vault"
        assert secret.data["fingerprint"] == row["fingerprint"]
