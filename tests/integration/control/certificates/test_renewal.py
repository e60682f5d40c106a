"""A certificate's second life: scheduled by the clock or by its CA, obtained, and the first one served until then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from scenes.issuance import WRONG, Replica, Scene

from control.certificates.ari import RenewalInformation
from control.certificates.renewals import Renewals
from control.jobs import Done
from core.vault import certificate_path
from embedded.ari import AriFront
from embedded.pebble import Pebble
from embedded.ports import free_port

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LIFETIME = timedelta(hours=160)


class Killed(BaseException):
    """Whatever the process was at, it did not come to the next line."""


@pytest.fixture(scope="module")
def shortlived(background, session_dir, dns_server, pebble_package) -> Pebble:
    """A Pebble whose certificates live for 160 hours."""
    start = Pebble.start(
        session_dir,
        dns_server=dns_server.address,
        http_port=free_port(),
        no_sleep=True,
        authz_reuse=0,
        validity=LIFETIME,
        name="shortlived-pebble",
    )
    return background.enter(start)


@pytest.fixture
async def front(state_dir, shortlived) -> AsyncIterator[AriFront]:
    async with AriFront.start(state_dir, shortlived) as front:
        yield front


@pytest.fixture
async def scene(database, vault_mount, front, dns_server, dns_zone) -> AsyncIterator[Scene]:
    async with Scene.start(database, vault_mount, front, dns_server, dns_zone.origin) as scene:
        yield scene


async def live(scene: Scene) -> UUID:
    """A domain with its first certificate."""
    domain_id = await scene.domain()
    assert await scene.replica.obtain() == Done()
    await scene.assert_live(domain_id)
    return domain_id


async def times(scene: Scene, domain_id: UUID) -> tuple[datetime, datetime]:
    """When it is to be renewed, and when it expires."""
    row = await scene.row("custom_domains", domain_id)
    return row["renew_at"], row["cert_expiry"]


async def begin(scene: Scene, at: datetime) -> int:
    return await Renewals(scene.replica.pool, "control:test", lambda: at).due()


async def served(scene: Scene) -> tuple[str, int]:
    """What a sidecar that starts in this moment serves: fingerprint and version. Its key and chain are there."""
    row = await scene.replica.pool.fetchrow("SELECT domain_id, fingerprint, vault_version FROM domains_v1")
    secret = await scene.replica.vault.read(certificate_path(row["domain_id"]), row["vault_version"])
    assert secret is not None
    assert secret.data["fingerprint"] == row["fingerprint"]
    return row["fingerprint"], row["vault_version"]


def information(scene: Scene, **arguments: Any) -> RenewalInformation:
    return RenewalInformation(scene.replica.pool, scene.replica.authorities, 30, **arguments)


async def test_a_certificate_is_renewed_and_the_old_one_served_until_the_new_one_is_there(scene, front):
    domain_id = await live(scene)
    first = await served(scene)
    renew_at, expiry = await times(scene, domain_id)
    assert LIFETIME / 3 <= expiry - renew_at <= LIFETIME / 2
    assert await begin(scene, renew_at - timedelta(seconds=1)) == 0
    assert await begin(scene, renew_at) == 1
    assert (await scene.row("custom_domains", domain_id))["ssl_status"] == "expiring"
    assert await served(scene) == first

    def die(step: str) -> None:
        if step == "stored":
            raise Killed

    job = await scene.replica.claim()
    with pytest.raises(Killed):
        await scene.replica.obtainer(die).obtain(job)
    # The new certificate is in Vault as a second version; nobody is told of it yet.
    assert (await scene.stored(domain_id))[1] == 2
    assert await served(scene) == first

    await scene.time_passes()
    assert await scene.replica.obtain() == Done()
    second = await served(scene)
    assert second[0] != first[0]
    assert second[1] == 2
    row = await scene.row("custom_domains", domain_id)
    assert (row["status"], row["ssl_status"], row["failure_count"]) == ("active", "renewed", 0)
    assert row["renew_at"] != renew_at  # of the new one
    assert await scene.count("jobs") == 0
    assert await scene.count("certificates", "revoked_at IS NULL") == 2
    actions = await scene.replica.pool.fetch("SELECT action FROM audit ORDER BY id")
    assert [one["action"] for one in actions] == ["ssl_order", "ssl_issue", "activate", "ssl_expiring", "ssl_renew"]
    old = await scene.replica.pool.fetchval("SELECT ari_id FROM certificates WHERE fingerprint = $1", first[0])
    assert set(front.replaced) == {old}
    assert len(await scene.orders_at_ca()) == 2
    # And the same once more, years on end.
    assert await begin(scene, row["renew_at"]) == 1
    assert await scene.replica.obtain() == Done()
    assert (await served(scene))[1] == 3
    assert (await scene.row("custom_domains", domain_id))["ssl_status"] == "renewed"


async def test_a_renewal_that_fails_leaves_the_old_certificate_and_is_tried_again(scene):
    domain_id = await live(scene)
    first = await served(scene)
    assert await begin(scene, (await times(scene, domain_id))[0]) == 1
    scene.answers[f"shop.{scene.zone}"] = WRONG
    await scene.replica.obtain()
    row = await scene.row("custom_domains", domain_id)
    assert (row["status"], row["ssl_status"], row["failure_count"]) == ("active", "error", 1)
    assert await served(scene) == first
    assert await begin(scene, datetime.now(UTC) + LIFETIME) == 0
    scene.answers.clear()
    await scene.time_passes()
    assert await scene.replica.obtain() == Done()
    assert (await scene.row("custom_domains", domain_id))["ssl_status"] == "renewed"
    assert (await served(scene))[0] != first[0]


# --- when the CA says when


async def test_the_cas_window_moves_the_renewal_and_is_asked_for_again_when_the_ca_wants(scene, front):
    domain_id = await live(scene)
    front.poll = 3600
    asked_at = datetime.now(UTC)
    assert await information(scene).ask() == 1
    renew_at, expiry = await times(scene, domain_id)
    start, end = await window(scene)
    assert start <= renew_at < end < expiry
    row = await scene.row("custom_domains", domain_id)
    assert HOUR <= row["renewal_info_at"] - asked_at < 1.2 * HOUR
    assert await information(scene).ask() == 0


async def window(scene: Scene) -> tuple[datetime, datetime]:
    row = await scene.replica.pool.fetchrow("SELECT lower(ari_window), upper(ari_window) FROM certificates")
    return row[0], row[1]


async def again(scene: Scene) -> None:
    await scene.replica.pool.execute("UPDATE custom_domains SET renewal_info_at = now()")


async def test_a_window_that_moves_into_the_past_makes_it_due_and_a_later_one_does_not_undo_that(scene, front):
    domain_id = await live(scene)
    (ari_id,) = await scene.replica.pool.fetchrow("SELECT ari_id FROM certificates")
    now = datetime.now(UTC)
    front.windows[ari_id] = (now - 2 * DAY, now - DAY)
    assert await information(scene).ask() == 1
    due, _ = await times(scene, domain_id)
    assert due < now + LIFETIME / 20  # a new certificate is given that much, whatever the CA says
    front.windows[ari_id] = (now + DAY, now + 2 * DAY)
    await again(scene)
    await information(scene, now=lambda: due + 2 * HOUR).ask()
    assert (await times(scene, domain_id))[0] == due
    assert await window(scene) == front.windows[ari_id]
    assert await begin(scene, due + 2 * HOUR) == 1


async def test_many_replicas_ask_once(scene, front):
    await live(scene)
    asked = await asyncio.gather(*(information(scene).ask() for _ in range(5)))
    assert sum(asked) == 1


async def test_trouble_at_the_ca_changes_nothing_and_it_is_asked_later(scene, front):
    domain_id = await live(scene)
    before = await times(scene, domain_id)
    (ari_id,) = await scene.replica.pool.fetchrow("SELECT ari_id FROM certificates")
    front.windows[ari_id] = (datetime.now(UTC), datetime.now(UTC) - HOUR)  # none: it ends before it starts
    assert await information(scene).ask() == 1
    assert await times(scene, domain_id) == before
    row = await scene.row("custom_domains", domain_id)
    assert row["renewal_info_at"] > datetime.now(UTC) + HOUR / 3
    del front.windows[ari_id]
    await information(scene, now=lambda: row["renewal_info_at"]).ask()
    assert await times(scene, domain_id) != before


async def test_what_was_replaced_while_its_ca_was_asked_is_left_as_it_is(scene, front):
    domain_id = await live(scene)
    await scene.replica.pool.execute("UPDATE custom_domains SET renewal_info_at = now() - interval '1 hour'")
    loop = information(scene)
    moved = loop._move

    async def late(*arguments: Any) -> None:
        await scene.replica.pool.execute("UPDATE custom_domains SET renew_at = now(), renewal_info_at = NULL")
        await moved(*arguments)

    loop._move = late  # type: ignore[method-assign]
    await loop.ask()
    row = await scene.row("custom_domains", domain_id)
    assert row["renewal_info_at"] is None
    assert row["renew_at"] <= datetime.now(UTC)
    assert await scene.count("certificates", "ari_window IS NULL") == 1


async def test_a_ca_without_renewal_information_is_asked_no_more_once_its_certificate_is_a_day_old(
    database, vault_mount, shortlived, dns_server, dns_zone
):
    async with Scene.start(database, vault_mount, shortlived, dns_server, dns_zone.origin) as scene:
        domain_id = await live(scene)
        before = await times(scene, domain_id)
        await information(scene).ask()
        assert (await scene.row("custom_domains", domain_id))["renewal_info_at"] > datetime.now(UTC)
        await again(scene)
        await information(scene, now=lambda: datetime.now(UTC) + DAY).ask()
        assert (await scene.row("custom_domains", domain_id))["renewal_info_at"] is None
        assert await times(scene, domain_id) == before


async def test_a_ca_that_is_no_longer_configured_is_asked_no_more(scene, shortlived):
    domain_id = await live(scene)
    async with AsyncExitStack() as stack:
        other = {**scene.wiring, "directory_url": shortlived.directory_url, "ca_file": str(shortlived.ca_bundle)}
        replica = await stack.enter_async_context(Replica.start(other))
        await RenewalInformation(replica.pool, replica.authorities, 30).ask()
    assert (await scene.row("custom_domains", domain_id))["renewal_info_at"] is None


async def test_the_loop_asks_by_itself(scene, front, eventually):
    await live(scene)
    task = asyncio.create_task(information(scene, every=0.01).run())
    try:
        await eventually(lambda: scene.count("certificates", "ari_window IS NOT NULL"))
        assert not task.done()
    finally:
        task.cancel()
