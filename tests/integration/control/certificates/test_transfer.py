"""A name that goes from one tenant to another: DNS decides, then Pebble and OpenBao are left without the old key."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from scenes.issuance import Scene

from control.dns.ownership import Ownership
from control.dns.presence import Presence
from control.dns.resolver import Resolver
from control.domains.verify import Verifier
from control.domains.watch import MISSES, Watch
from control.jobs import Again, Done, Outcome
from core.vault import certificate_path


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def resolver(scene: Scene) -> Resolver:
    return Resolver("127.0.0.1", scene.dns.port, 10.0)


def target(scene: Scene) -> str:
    return f"custom.{scene.zone}"


async def claim(scene: Scene, hostname: str) -> UUID:
    """Another tenant's, with its TXT record in the zone and a `verify` job that is due."""
    async with scene.replica.pool.acquire() as connection, connection.transaction():
        tenant = await connection.fetchval("INSERT INTO tenants (slug) VALUES ('t-' || gen_random_uuid()) RETURNING id")
        domain_id: UUID = await connection.fetchval(
            """INSERT INTO custom_domains (tenant_id, hostname, verification_token, verify_deadline)
               VALUES ($1, $2, 'another', now() + interval '72 hours') RETURNING id""",
            tenant,
            hostname,
        )
        await connection.execute("INSERT INTO jobs (domain_id, kind) VALUES ($1, 'verify')", domain_id)
    scene.dns.add(f"_platform-verify.{hostname}", "TXT", "verify-another")
    return domain_id


async def verify(scene: Scene, clock: Clock) -> Outcome:
    await scene.time_passes()
    verifier = Verifier(
        scene.replica.pool,
        Ownership([resolver(scene)], target(scene), clock),
        "control:test",
        timedelta(seconds=30),
        clock,
    )
    job = await scene.replica.claim("verify")
    outcome = await verifier.verify(job)
    await scene.replica.jobs.settle(job, outcome)
    return outcome


async def watch(scene: Scene, clock: Clock, times: int) -> None:
    """Looks until the name has had so many."""
    presence = Presence([resolver(scene)], target(scene), ["127.0.0.1"], clock)
    for _ in range(times):
        clock.now += timedelta(hours=7)
        assert await Watch(scene.replica.pool, presence, "control:test", clock).round() == 1


async def test_a_name_whose_dns_leaves_its_tenant_goes_to_the_one_that_proves_it(scene: Scene, clock: Clock) -> None:
    holder = await scene.domain()
    assert await scene.replica.obtain() == Done()
    old = await scene.assert_live(holder)
    hostname = f"shop.{scene.zone}"
    claimant = await claim(scene, hostname)
    assert isinstance(await verify(scene, clock), Again)
    assert (await scene.row("custom_domains", claimant))["status"] == "dns_check"

    # The name still leads here, by an address that all tenants share; its owner shows the claimant's token alone.
    await watch(scene, clock, MISSES)
    assert (await scene.row("custom_domains", holder))["status"] == "moved"
    assert await scene.status_at_ca(old.serial) == "Valid", "it is served until somebody else has proved it"

    assert await verify(scene, clock) == Done()
    assert await scene.replica.revoke() == Done()
    assert await scene.status_at_ca(old.serial) == "Revoked"
    assert await scene.replica.vault.versions(certificate_path(holder)) == ()
    assert await scene.replica.obtain() == Done()
    new = await scene.assert_live(claimant)
    assert new.fingerprint != old.fingerprint
    assert new.serial != old.serial
    assert await kinds(scene, holder) == ["move_away", "transfer", "ssl_revoke"]
    assert "transfer" in await kinds(scene, claimant)


async def test_a_moved_name_that_nobody_claims_comes_back_with_its_certificate(scene: Scene, clock: Clock) -> None:
    holder = await scene.domain()
    assert await scene.replica.obtain() == Done()
    certificate = await scene.assert_live(holder)
    scene.dns.replace(f"shop.{scene.zone}", "A", "198.51.100.1")
    scene.dns.add(f"*.{target(scene)}", "A", "127.0.0.1")
    await watch(scene, clock, MISSES)
    assert (await scene.row("custom_domains", holder))["status"] == "moved"
    assert (await scene.stored(holder))[0].fingerprint == certificate.fingerprint
    scene.dns.replace(f"shop.{scene.zone}", "A", "127.0.0.1")
    await watch(scene, clock, 1)
    await scene.assert_live(holder)


async def kinds(scene: Scene, domain_id: UUID) -> list[Any]:
    rows = await scene.replica.pool.fetch("SELECT action FROM audit WHERE domain_id = $1 ORDER BY id", domain_id)
    actions = [row["action"] for row in rows]
    return actions[actions.index("activate") + 1 :] if "activate" in actions and "move_away" in actions else actions
