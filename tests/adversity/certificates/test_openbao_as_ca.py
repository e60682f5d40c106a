"""The same on OpenBao's PKI, which differs from Pebble where the RFC leaves room: it serves no list of orders, takes no
revocation reason, and repeats a failed validation by itself for a while.

Its validator connects to port 80 always; where this user cannot bind that port, there is nothing here to run.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass

import pytest
from scenes.issuance import SHORT, Scene
from scenes.mortal import Mortals

from control.jobs import Again, Done
from core.vault import certificate_path
from embedded.ports import can_bind


@dataclass(frozen=True, slots=True)
class Authority:
    """What a scene needs to know of a CA."""

    directory_url: str
    http_port: int = 80
    ca_bundle: str = ""  # no TLS on loopback


@pytest.fixture(scope="module")
def mortals():
    with Mortals.start() as mortals:
        yield mortals


@pytest.fixture
async def scene(database, vault_mount, pki, dns_server, dns_zone):
    authority = Authority(pki.directory_url)
    async with Scene.start(database, vault_mount, authority, dns_server, dns_zone.origin) as scene:
        yield scene


if can_bind(80):

    @pytest.mark.parametrize("step", ["order_known", "challenges_answered", "finalized", "stored", "recorded"])
    async def test_killed_and_restarted_it_ends_with_one_order_and_one_certificate(scene, mortals, step):
        domain_id = await scene.domain()
        assert await mortals.live(scene.wiring, die_after=step) == signal.SIGKILL
        await scene.time_passes()
        assert await mortals.live(scene.wiring) is None
        await scene.assert_live(domain_id)
        assert await scene.count("acme_orders") == 1
        assert (await scene.stored(domain_id))[1] == 1

    async def test_killed_between_the_order_and_its_record_another_is_sent_because_there_is_no_list(scene, mortals):
        domain_id = await scene.domain()
        assert await mortals.live(scene.wiring, die_after="order_sent") == signal.SIGKILL
        await scene.time_passes()
        assert await mortals.live(scene.wiring) is None
        await scene.assert_live(domain_id)

    async def test_a_certificate_is_revoked_without_a_reason_and_its_key_destroyed(scene, pki):
        domain_id = await scene.domain()
        assert await scene.replica.obtain() == Done()
        certificate, _ = await scene.stored(domain_id)
        await scene.delete(domain_id)
        assert await scene.replica.revoke() == Done()
        digits = certificate.serial.zfill(len(certificate.serial) + len(certificate.serial) % 2)
        serial = ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))
        answer = await pki.openbao.request("GET", f"pki/cert/{serial}")
        assert answer["data"]["revocation_time"] > 0
        assert await scene.replica.vault.read_with_cas(certificate_path(domain_id)) == (None, 0)

    async def test_an_account_that_it_has_forgotten_is_registered_again(scene):
        domain_id = await scene.domain()
        client = await scene.replica.account.client()
        client.account_url = client.account_url[:-3] + "abc"
        assert isinstance(await scene.replica.obtain(), Again)
        assert (await scene.finding(domain_id))["code"] == "ca_account_unknown"
        await scene.time_passes()
        assert await scene.replica.obtain(limits=SHORT) == Done()
        await scene.assert_live(domain_id)
