"""A name that somebody else has proved since gives the one who proved it first no certificate, and is not kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from scenes.issuance import Scene

from control.certificates.authorities import Authority
from control.certificates.choice import PreflightFailed
from control.dns.ownership import Ownership
from control.dns.resolver import Resolver
from control.domains.rivals import Rivals
from control.domains.transition import load
from control.jobs import Again
from core.domain import Domain


class Only:
    """A pre-flight of nothing else."""

    def __init__(self, rivals: Rivals) -> None:
        self._rivals = rivals

    async def usable(self, domain: Domain, candidates: Sequence[Authority], _kind: str) -> Sequence[Authority]:
        if finding := await self._rivals.against(domain):
            raise PreflightFailed(finding)
        return candidates


def now() -> datetime:
    return datetime.now(UTC)


def preflight(scene: Scene) -> Only:
    target = f"custom.{scene.zone}"
    ownership = Ownership([Resolver("127.0.0.1", scene.dns.port, 10.0)], target, now)
    return Only(Rivals(scene.replica.pool, ownership, target, now))


async def rival(scene: Scene, hostname: str) -> None:
    """As the verifier leaves one that has proved a name of another's."""
    await scene.replica.pool.execute(
        """WITH other AS (INSERT INTO tenants (slug) VALUES ('t-' || gen_random_uuid()) RETURNING id)
           INSERT INTO custom_domains (tenant_id, hostname, verification_token, verify_deadline, status, dns_finding)
           SELECT id, $1, 'another', now() + interval '72 hours', 'dns_check', '{"code": "hostname_in_use"}'
           FROM other""",
        hostname,
    )


async def token_of(scene: Scene, domain_id: UUID) -> str:
    async with scene.replica.pool.acquire() as connection:
        domain = await load(connection, domain_id)
    assert domain is not None
    return domain.txt_value


async def test_whoever_lost_the_name_gets_no_certificate_and_does_not_keep_it(scene: Scene) -> None:
    """The name leads to the platform, whose addresses are the same for all: a CA could not tell."""
    holder = await scene.domain()
    await rival(scene, f"shop.{scene.zone}")
    for failures in range(1, 3):
        assert isinstance(await scene.replica.obtain(preflight=preflight(scene)), Again)
        row = await scene.row("custom_domains", holder)
        assert (row["status"], row["failure_count"]) == ("verified", failures)
        assert "ownership_contested" in row["ssl_finding"]
        # To ask for it again and again does not keep it either.
        await scene.replica.pool.execute("UPDATE jobs SET run_at = now(), attempts = 0 WHERE domain_id = $1", holder)


async def test_whoever_proves_it_still_gets_one(scene: Scene) -> None:
    holder = await scene.domain()
    hostname = f"shop.{scene.zone}"
    await rival(scene, hostname)
    scene.dns.add(f"_platform-verify.{hostname}", "TXT", await token_of(scene, holder))
    await scene.replica.obtain(preflight=preflight(scene))
    await scene.assert_live(holder)


async def test_without_a_rival_the_proof_need_not_stand(scene: Scene) -> None:
    holder = await scene.domain()
    await scene.replica.obtain(preflight=preflight(scene))
    await scene.assert_live(holder)
