"""One test a promise of the README, on the whole stack."""

from __future__ import annotations

import asyncio
import ssl
import time
from uuid import uuid4

import asyncpg
import httpx
import pytest
from scenes.play import Play, tenants_seen

from demo.customer import ApiRefused
from embedded.process import ServerFailed
from embedded.stack import PLATFORM


async def test_a_subdomain_goes_from_added_to_served_with_its_tenant_marked(play: Play) -> None:
    owner = play.customer()
    body = await play.active(owner, f"shop.{play.zone}")
    assert (body["status"], body["sslStatus"], body["ready"]) == ("active", "issued", True)
    page = await play.visit(f"shop.{play.zone}")
    assert tenants_seen(page) == [str(owner.tenant_id)]
    assert page.names == (f"shop.{play.zone}",)


async def test_an_apex_is_served_by_its_a_record(play: Play) -> None:
    owner = play.customer()
    await play.active(owner, play.zone, apex=True)
    assert tenants_seen(await play.visit(play.zone)) == [str(owner.tenant_id)]


async def test_a_cname_to_the_platform_stands_in_for_the_txt_record(play: Play) -> None:
    owner = play.customer()
    body = await owner.register(f"shop.{play.zone}")
    target = body["instructions"]["subdomain"]
    await play.stack.dns.replace(target["name"], target["type"], target["value"])
    body = await play.until_active(owner, body["id"])
    assert body["verification"]["method"] == "cname"
    assert tenants_seen(await play.visit(f"shop.{play.zone}")) == [str(owner.tenant_id)]


async def test_two_tenants_on_one_envoy_are_told_apart(play: Play) -> None:
    first, second = play.customer(), play.customer()
    await play.active(first, f"one.{play.zone}")
    await play.active(second, f"two.{play.zone}")
    for name, owner in (("one", first), ("two", second)):
        assert tenants_seen(await play.visit(f"{name}.{play.zone}")) == [str(owner.tenant_id)]


async def test_the_states_are_those_of_the_specification_in_order(play: Play) -> None:
    owner = play.customer()
    body = await play.active(owner, f"shop.{play.zone}")
    connection = await asyncpg.connect(play.stack.dsn())
    try:
        rows = await connection.fetch(
            "SELECT action, detail->>'to' AS to FROM audit WHERE domain_id = $1 ORDER BY id", body["id"]
        )
    finally:
        await connection.close()
    assert [row["to"] for row in rows if row["to"]] == ["dns_check", "verified", "validating", "issued", "active"]
    assert [row["action"] for row in rows if row["action"] in {"add", "verify", "ssl_issue"}] == [
        "add",
        "verify",
        "ssl_issue",
    ]


@pytest.mark.parametrize(
    "spoof",
    [
        [("x-tenant-id", "admin")],
        [("x-tenant-id", "admin"), ("X-Tenant-ID", str(uuid4()))],
        [("x_tenant_id", "admin")],
        [("x-nameplate-host", "other.example")],
    ],
    ids=["one", "two", "underscore", "host"],
)
async def test_a_tenant_made_up_by_the_client_never_reaches_an_upstream(
    play: Play, spoof: list[tuple[str, str]]
) -> None:
    owner = play.customer()
    await play.active(owner, f"shop.{play.zone}")
    page = await play.visit(f"shop.{play.zone}", headers=spoof)
    if page.status == 200:  # a header with an underscore may be refused whole
        assert tenants_seen(page) == [str(owner.tenant_id)]
        assert "admin" not in page.body.decode()
        assert "other.example" not in page.body.decode()
    else:
        assert (page.status, spoof[0][0]) == (400, "x_tenant_id")


async def test_a_name_nobody_registered_is_refused_in_the_handshake(play: Play) -> None:
    assert await play.refused(f"nobody.{play.zone}")


async def test_a_domain_that_is_not_proven_is_refused_in_the_handshake(play: Play) -> None:
    await play.customer().register(f"shop.{play.zone}")
    assert await play.refused(f"shop.{play.zone}")


async def test_over_plain_http_a_name_nobody_registered_gets_the_default_page(play: Play) -> None:
    page = await play.stack.browser.get_plain(f"nobody.{play.zone}", play.stack.http_port)
    assert page.status == 404
    assert b"Domain not configured for this platform" in page.body


async def test_over_plain_http_a_live_name_is_led_to_https(play: Play) -> None:
    await play.active(play.customer(), f"shop.{play.zone}")
    page = await play.stack.browser.get_plain(f"shop.{play.zone}", play.stack.http_port, "/a?b=c")
    assert (page.status, page.header("location")) == (308, f"https://shop.{play.zone}/a?b=c")


async def test_a_host_that_the_certificate_does_not_cover_is_misdirected(play: Play) -> None:
    first, second = play.customer(), play.customer()
    await play.active(first, f"one.{play.zone}")
    await play.active(second, f"two.{play.zone}")
    page = await play.visit(f"one.{play.zone}", host_header=f"two.{play.zone}")
    assert page.status == 421
    assert play.stack.upstreams, "nothing to compare with"


async def test_the_platform_s_own_name_of_a_tenant_is_served_with_the_wildcard_certificate(play: Play) -> None:
    owner = play.customer()
    await play.active(owner, f"shop.{play.zone}")
    page = await play.visit(f"tenant-{owner.tenant_id}.{PLATFORM}")
    assert tenants_seen(page) == [str(owner.tenant_id)]
    assert f"*.{PLATFORM}" in page.names


async def test_a_platform_name_of_nobody_is_refused(play: Play) -> None:
    assert await play.refused(f"tenant-{uuid4()}.{PLATFORM}")


async def test_a_deleted_domain_is_refused_within_a_second(play: Play) -> None:
    owner = play.customer()
    body = await play.active(owner, f"shop.{play.zone}")
    assert tenants_seen(await play.visit(f"shop.{play.zone}")) == [str(owner.tenant_id)]
    await owner.delete(body["id"])
    start = time.monotonic()
    await play.eventually(lambda: play.refused(f"shop.{play.zone}"), timeout=5)
    assert time.monotonic() - start < 1.0


async def test_a_deleted_domain_s_key_is_destroyed_and_its_certificate_revoked(play: Play) -> None:
    owner = play.customer()
    body = await play.active(owner, f"shop.{play.zone}")
    await owner.delete(body["id"])

    async def gone() -> bool:
        try:
            await play.stack.openbao.request("GET", f"secret/data/nameplate/certs/{body['id']}")
        except ServerFailed as error:
            return " 404 " in str(error)
        return False

    await play.eventually(gone, timeout=20)
    pebble = play.stack.pebble
    assert pebble is not None
    trust = ssl.create_default_context(cafile=str(pebble.ca_bundle))
    async with httpx.AsyncClient(verify=trust, trust_env=False) as client:
        url = f"https://127.0.0.1:{pebble.management_port}/cert-status-by-serial/{body['certificate']['serial']}"
        assert (await client.get(url)).json()["Status"] == "Revoked"


async def test_a_name_can_be_brought_again_after_its_deletion(play: Play) -> None:
    owner = play.customer()
    body = await play.active(owner, f"shop.{play.zone}")
    await owner.delete(body["id"])
    again = await play.active(owner, f"shop.{play.zone}")
    assert again["certificate"]["serial"] != body["certificate"]["serial"]
    assert tenants_seen(await play.visit(f"shop.{play.zone}")) == [str(owner.tenant_id)]


async def test_a_deleted_name_cools_down_and_its_records_left_behind_prove_nothing_for_others(play: Play) -> None:
    first, second = play.customer(), play.customer()
    body = await play.active(first, f"shop.{play.zone}")
    await first.delete(body["id"])
    with pytest.raises(ApiRefused, match="hostname_cooling_down"):
        await second.register(f"shop.{play.zone}")
    await cooled_down(play, body["id"])
    left_behind = await second.register(f"shop.{play.zone}")
    await play.verify_now(second, left_behind["id"])

    async def looked_at() -> bool:
        return (await second.detail(left_behind["id"]))["verification"]["code"] is not None

    await play.eventually(looked_at, timeout=10)
    assert (await second.detail(left_behind["id"]))["status"] == "pending"
    await play.publish(left_behind)
    await play.until_active(second, left_behind["id"])
    assert tenants_seen(await play.visit(f"shop.{play.zone}")) == [str(second.tenant_id)]


async def test_a_name_that_moves_from_one_tenant_to_another_on_the_platform_is_transferred(play: Play) -> None:
    """Its records change, and nobody asks the first tenant for anything."""
    first, second = play.customer(), play.customer()
    name = f"shop.{play.zone}"
    held, claimed = await first.register(name), await second.register(name)
    await play.publish(held)
    held = await play.until_active(first, held["id"])
    await play.publish(claimed)
    await play.verify_now(second, claimed["id"])

    async def is_told_why_it_waits() -> bool:
        body = await second.detail(claimed["id"])
        return (body["status"], body["verification"]["code"]) == ("dns_check", "hostname_in_use")

    await play.eventually(is_told_why_it_waits, timeout=10)

    async def has_moved() -> bool:
        await time_passes(play, held["id"])
        return (await first.detail(held["id"]))["status"] == "moved"

    await play.eventually(has_moved, timeout=30)
    body = await play.until_active(second, claimed["id"])
    assert body["certificate"]["serial"] != held["certificate"]["serial"]
    assert tenants_seen(await play.visit(name)) == [str(second.tenant_id)]
    with pytest.raises(ApiRefused, match="domain_not_found"):
        await first.detail(held["id"])


async def time_passes(play: Play, domain_id: str) -> None:
    """The domain's next look is due."""
    await execute(play, "UPDATE custom_domains SET look_at = now() WHERE id = $1 AND look_at > now()", domain_id)


async def cooled_down(play: Play, domain_id: str) -> None:
    await execute(play, "UPDATE custom_domains SET deleted_at = now() - interval '25 hours' WHERE id = $1", domain_id)


async def execute(play: Play, statement: str, *arguments: str) -> None:
    connection = await asyncpg.connect(play.stack.dsn())
    try:
        await connection.execute(statement, *arguments)
    finally:
        await connection.close()


async def test_ten_domains_at_once_are_all_served(play: Play) -> None:
    async def bring(n: int) -> None:
        owner = play.customer()
        await play.active(owner, f"s{n}.{play.zone}")
        assert tenants_seen(await play.visit(f"s{n}.{play.zone}")) == [str(owner.tenant_id)]

    await asyncio.gather(*(bring(n) for n in range(10)))
