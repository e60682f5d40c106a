"""The control process is killed (SIGKILL) between any two steps of an issuance, or anywhere, and started again."""

from __future__ import annotations

import random
import signal

import pytest
from scenes.issuance import Scene
from scenes.mortal import Mortals

from control.certificates.obtain import STEPS
from core.vault import pending_key_path


@pytest.fixture(scope="module")
def mortals():
    with Mortals.start() as mortals:
        yield mortals


async def assert_obtained_once(scene: Scene, domain_id) -> None:
    """One order, one certificate, stored once, with its key; nothing is left of the way to it."""
    await scene.assert_live(domain_id)
    _, version = await scene.stored(domain_id)
    assert version == 1
    assert len(await scene.orders_at_ca()) == 1
    assert await scene.count("acme_orders") == 1
    assert await scene.count("certificates") == 1
    once = "bucket = 'order' AND tat - clock = interval '36 seconds'"
    assert await scene.count("rate_buckets", once) == 1, "spent once"
    assert await scene.count("audit", "action = 'ssl_issue'") == 1
    assert await scene.count("audit", "action = 'activate'") == 1
    assert await scene.replica.vault.read(pending_key_path(domain_id)) is None
    assert await scene.count("jobs") == 0


@pytest.mark.parametrize("step", STEPS)
async def test_killed_after_a_step_and_restarted_it_ends_with_one_order_and_one_certificate(scene, mortals, step):
    domain_id = await scene.domain()
    assert await mortals.live(scene.wiring, die_after=step) == signal.SIGKILL
    await scene.time_passes()
    assert await mortals.live(scene.wiring) is None
    await assert_obtained_once(scene, domain_id)


async def test_killed_after_every_single_step_in_turn_it_still_ends_with_one_order(scene, mortals):
    domain_id = await scene.domain()
    for step in STEPS:
        assert await mortals.live(scene.wiring, die_after=step) == signal.SIGKILL, step
        await scene.time_passes()
    assert await mortals.live(scene.wiring) is None
    await assert_obtained_once(scene, domain_id)


@pytest.mark.parametrize("seed", range(3))
async def test_killed_at_moments_that_nobody_chose_it_still_ends_with_one_order(scene, mortals, seed):
    domain_id = await scene.domain()
    moments = random.Random(seed)
    ends = [await mortals.live(scene.wiring, die_in=moments.uniform(0.02, 0.1))]
    while ends[-1] == signal.SIGKILL and len(ends) < 10:
        await scene.time_passes()
        ends.append(await mortals.live(scene.wiring, die_in=moments.uniform(0.05, 0.5)))
    assert ends[0] == signal.SIGKILL
    await scene.time_passes()
    assert await mortals.live(scene.wiring) is None
    await assert_obtained_once(scene, domain_id)
