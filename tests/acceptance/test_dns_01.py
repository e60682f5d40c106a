"""Wildcards, and certificates before the traffic moves, on the whole stack with a zone for DNS-01 on a real Knot."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from scenes.play import Play, play_in, tenants_seen

from demo import registrar
from embedded import stack as stacks
from embedded.background import Background
from embedded.stack import CHALLENGES, Stack


@pytest.fixture(scope="module")
def stack(background: Background, session_dir: Path, pebble_package: None, dns_packages: None) -> Stack:
    home = session_dir / "dns01"
    home.mkdir(mode=0o711)
    return background.enter(stacks.start(home, ca="pebble", validation_pause=0, dns_01=True))


@pytest.fixture
async def play(stack: Stack, number: int, eventually: Callable[..., Awaitable[Any]]) -> AsyncIterator[Play]:
    async with play_in(stack, f"d{number}.test", eventually) as play:
        yield play


async def place(play: Play, body: dict[str, Any], *wanted: str) -> None:
    records = [body["instructions"][name] for name in wanted]
    await registrar.publish(play.stack.dns, [(one["name"], one["type"], one["value"]) for one in records])


async def test_a_wildcard_goes_from_added_to_served_with_its_tenant_marked(play: Play) -> None:
    owner = play.customer()
    body = await owner.register(f"*.shop.{play.zone}")
    challenge = body["instructions"]["challenge"]
    assert (challenge["type"], challenge["name"]) == ("CNAME", f"_acme-challenge.shop.{play.zone}")
    assert challenge["value"].endswith(f".{CHALLENGES}")
    await place(play, body, "subdomain", "verification", "challenge")
    body = await play.until_active(owner, body["id"])
    assert body["sslStatus"] == "issued"
    for name in ("one", "two"):
        page = await play.visit(f"{name}.shop.{play.zone}")
        assert tenants_seen(page) == [str(owner.tenant_id)]
        assert page.names == (f"*.shop.{play.zone}",)
    assert await play.refused(f"shop.{play.zone}"), "a wildcard does not cover its base name"
    assert await play.refused(f"one.two.shop.{play.zone}")


async def test_a_wildcard_without_its_cname_is_told_so_before_an_order_is_spent(play: Play) -> None:
    owner = play.customer()
    body = await owner.register(f"*.shop.{play.zone}")
    await place(play, body, "subdomain", "verification")
    await play.verify_now(owner, body["id"])

    async def told() -> bool:
        # The tenant's wildcard catches the challenge's name too.
        return "delegation_elsewhere" in str((await owner.detail(body["id"]))["ssl"])

    await play.eventually(told, timeout=60)
    assert await play.refused(f"any.shop.{play.zone}")


async def test_a_name_has_its_certificate_before_its_traffic_moves(play: Play) -> None:
    owner = play.customer()
    await play.stack.dns.add(f"shop.{play.zone}", "A", "127.1.1.1")
    body = await owner.register(f"shop.{play.zone}")
    await place(play, body, "verification", "challenge")
    body = await play.until_active(owner, body["id"])
    assert body["sslStatus"] == "issued"
    assert tenants_seen(await play.visit(f"shop.{play.zone}")) == [str(owner.tenant_id)], "whoever comes is served"


async def test_a_name_and_its_wildcard_live_side_by_side(play: Play) -> None:
    owner = play.customer()
    base, wildcard = await owner.register(f"shop.{play.zone}"), await owner.register(f"*.shop.{play.zone}")
    assert base["instructions"]["challenge"] == wildcard["instructions"]["challenge"]
    await place(play, base, "subdomain", "verification", "challenge")
    await play.until_active(owner, base["id"])
    await place(play, wildcard, "subdomain", "verification")
    await play.until_active(owner, wildcard["id"])
    assert (await play.visit(f"shop.{play.zone}")).names == (f"shop.{play.zone}",)
    assert (await play.visit(f"one.shop.{play.zone}")).names == (f"*.shop.{play.zone}",)
