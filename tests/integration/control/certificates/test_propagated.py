"""`active` waits for the sidecars and their Envoys, not for ever, and the audit says who had it by then."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest
from scenes.issuance import SHORT

from control.certificates.obtain import Limits
from control.certificates.propagation import Propagation
from control.jobs import Done
from core.feed import Reached, Rejected, Sighting, digest_of

PATIENT = Limits(certificate_seen=timedelta(minutes=1), certificate_acknowledged=timedelta(minutes=1))
HASTY = Limits(ca=SHORT.ca, certificate_seen=timedelta(seconds=0.1), certificate_acknowledged=timedelta(seconds=0.1))


async def activation(scene, domain_id):
    (row,) = await scene.replica.pool.fetch(
        "SELECT detail FROM audit WHERE domain_id = $1 AND action = 'activate'", domain_id
    )
    detail = json.loads(row["detail"])
    return detail["sidecars"], detail["envoys"]


async def recorded(scene) -> int:
    """A transaction that sees the certificate."""
    while not await scene.count("certificates"):
        await asyncio.sleep(0.02)
    return int(await scene.replica.ledger.transaction_id())


async def test_it_goes_live_once_the_envoys_have_acknowledged_and_the_audit_counts_them(scene):
    domain_id = await scene.domain()
    propagation = Propagation()
    propagation.heard(Sighting("one", 0, (), (Reached(2, 0),)).to_payload())
    statuses = []

    async def envoys():
        xid = await recorded(scene)
        for behind in (2, 1, 0):
            reached = (Reached(2 - behind, xid + 1), *([Reached(behind, 0)] if behind else []))
            propagation.heard(Sighting("one", xid + 1, (), reached).to_payload())
            if behind:
                await asyncio.sleep(0.05)
                statuses.append((await scene.row("custom_domains", domain_id))["status"])

    acknowledging = asyncio.create_task(envoys())
    assert await scene.replica.obtain(propagation=propagation, limits=PATIENT) == Done()
    await acknowledging
    assert statuses == ["verified", "verified"]
    await scene.assert_live(domain_id)
    assert await activation(scene, domain_id) == (
        {"live": 1, "have": 1},
        {"connected": 2, "acknowledged": 2, "rejected": 0},
    )


async def test_an_envoy_that_has_rejected_the_certificate_is_not_waited_for_and_is_on_record(scene):
    domain_id = await scene.domain()
    hostname = (await scene.row("custom_domains", domain_id))["hostname"]
    propagation = Propagation()
    rejected = Rejected({digest_of(hostname): 1})
    propagation.heard(Sighting("one", 0, (), (Reached(2, 0),)).to_payload())

    async def envoys():
        xid = await recorded(scene)
        propagation.heard(Sighting("one", xid + 1, (), (Reached(2, xid + 1),), rejected).to_payload())

    answering = asyncio.create_task(envoys())
    assert await scene.replica.obtain(propagation=propagation, limits=PATIENT) == Done()
    await answering
    assert (await activation(scene, domain_id))[1] == {"connected": 2, "acknowledged": 1, "rejected": 1}


@pytest.mark.parametrize("sighting", [Sighting("one", 2**60, (), (Reached(1, 0),)), Sighting("one", 0, (), ())])
async def test_neither_an_envoy_nor_a_sidecar_that_is_behind_holds_it_up_for_ever_and_it_is_on_record(scene, sighting):
    domain_id = await scene.domain()
    propagation = Propagation()
    propagation.heard(sighting.to_payload())
    assert await scene.replica.obtain(propagation=propagation, limits=HASTY) == Done()
    await scene.assert_live(domain_id)
    sidecars, envoys = await activation(scene, domain_id)
    assert (sidecars["have"], envoys["acknowledged"]) in {(0, 0), (1, 0)}


async def test_a_sidecar_of_the_release_before_is_waited_for_without_its_envoys(scene):
    domain_id = await scene.domain()
    propagation = Propagation()
    propagation.heard(json.dumps({"id": "old", "position": 2**60, "ahead": []}))
    assert await scene.replica.obtain(propagation=propagation, limits=PATIENT) == Done()
    assert await activation(scene, domain_id) == (
        {"live": 1, "have": 1},
        {"connected": 0, "acknowledged": 0, "rejected": 0},
    )
