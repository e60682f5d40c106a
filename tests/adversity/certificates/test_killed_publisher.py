"""A process is killed (SIGKILL) while it writes into the platform's zone and removes from it: what it leaves goes."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from pathlib import Path

import pytest
from scenes.delegated import ZONE, Delegated
from scenes.publisher import wire

TESTS = Path(__file__).parents[2]
LIVES = 5


@pytest.fixture
async def delegated(state_dir, database, vault_mount, dns_server, dns_zone, dns_packages, pebble_package):
    origin = dns_zone.origin
    async with Delegated.start(state_dir, database, vault_mount, dns_server, origin, secondaries=0) as delegated:
        yield delegated


async def live(wiring: dict[str, object], seconds: float) -> None:
    """Let one work for so long, and kill it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "scenes.publisher"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    try:
        process.stdin.write(json.dumps(wiring).encode() + b"\n")
        assert await process.stdout.readline() == b"begins\n", "it failed; its words are above"
        await asyncio.sleep(seconds)  # the moment that is tried
    finally:
        process.kill()
        await process.communicate()


async def test_nothing_that_killed_processes_wrote_stays_in_the_zone(delegated, database):
    shop, other = await delegated.domain("shop"), await delegated.domain("other")
    zone = delegated.zone()
    await zone.publish(other, ["of-another-domain"])
    wiring = wire(delegated.knot, database.control_dsn, shop.id)
    moments = random.Random(7)
    for _ in range(LIVES):
        await live(wiring, moments.uniform(0.005, 0.1))
        found = await delegated.published(shop)
        written_down = await delegated.issuance.replica.pool.fetch(
            "SELECT value FROM acme_txt WHERE name = $1", f"{shop.acme_label}.{ZONE}"
        )
        assert found <= {row["value"] for row in written_down}, "a record that nobody would find again"
    await delegated.issuance.replica.pool.execute(
        "UPDATE acme_txt SET written_at = now() - interval '1 hour' WHERE domain_id = $1", shop.id
    )
    await zone.clear()
    assert await delegated.published(shop) == set()
    assert await delegated.published(other) == {"of-another-domain"}
    assert await delegated.issuance.count("acme_txt") == 1
