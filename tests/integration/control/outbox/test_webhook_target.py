"""Where a webhook's request really goes: judged addresses only, TLS for the hostname, bounded answers."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network
from types import SimpleNamespace
from uuid import uuid4

import pytest
from scenes.notifications import Places, WebhookServer, room

from control.dns.resolver import Resolver
from control.outbox import webhook
from control.outbox.message import Failed
from control.outbox.signing import new_secret
from control.outbox.target import TargetError, Targets
from embedded.localhost_tls import LocalhostTls


@pytest.fixture
def resolver(dns_server) -> Resolver:
    return Resolver.parse(dns_server.address)


async def attempt(scene, url) -> Failed:
    """One attempt at a message to the URL: what is known of it."""
    _, tenant, _ = await scene.endpoint(url)
    return await attempt_of(scene, tenant)


async def attempt_of(scene, tenant) -> Failed:
    await scene.happen(tenant, domain=uuid4(), hostname="a.example")
    async with scene.running(), asyncio.timeout(60):
        while not await scene.pool.fetchval("SELECT coalesce(max(attempts), 0) FROM deliveries"):
            await asyncio.sleep(0.02)
    row = await scene.pool.fetchrow("SELECT state, last_attempt FROM deliveries")
    if row["state"] == "delivered":
        return Failed("delivered", "")
    facts = json.loads(row["last_attempt"])
    return Failed(facts["code"], facts["message"], facts["status"])


@pytest.mark.parametrize(
    ("records", "address"),
    [
        ({"A": ["127.0.0.1"]}, "127.0.0.1"),
        ({"A": ["10.0.0.5"]}, "10.0.0.5"),
        ({"A": ["169.254.169.254"]}, "169.254.169.254"),
        ({"AAAA": ["::1"]}, "::1"),
        ({"AAAA": ["::ffff:127.0.0.1"]}, "::ffff:"),
        ({"AAAA": ["64:ff9b::7f00:1"]}, "64:ff9b::7f00:1"),
        ({"AAAA": ["fd00:ec2::254"]}, "fd00:ec2::254"),
        ({"A": ["1.1.1.1", "10.0.0.5"]}, "10.0.0.5"),
        ({"A": ["1.1.1.1"], "AAAA": ["::1"]}, "::1"),
    ],
)
async def test_a_name_that_leads_to_one_address_that_is_not_public_is_refused(
    dns_zone, resolver, records, address
) -> None:
    for rdtype, values in records.items():
        dns_zone.replace("hook", rdtype, *values)
    with pytest.raises(TargetError, match=address) as refused:
        await Targets([resolver]).addresses(dns_zone.full("hook"))
    assert refused.value.code == "address_refused"


async def test_a_cname_to_somewhere_inside_is_refused(dns_zone, resolver) -> None:
    dns_zone.add("inside", "A", "192.168.1.1")
    dns_zone.add("hook", "CNAME", dns_zone.full("inside") + ".")
    with pytest.raises(TargetError, match="not public"):
        await Targets([resolver]).addresses(dns_zone.full("hook"))


async def test_public_addresses_are_given_in_turn_and_names_without_any_are_told_apart(dns_zone, resolver) -> None:
    dns_zone.replace("hook", "A", "1.1.1.1", "8.8.8.8")
    dns_zone.add("hook", "AAAA", "2606:4700:4700::1111")
    found = [str(address) for address in await Targets([resolver]).addresses(dns_zone.full("hook"))]
    assert found[0] == "2606:4700:4700::1111"
    assert set(found[1:]) == {"1.1.1.1", "8.8.8.8"}
    with pytest.raises(TargetError) as missing:
        await Targets([resolver]).addresses(dns_zone.full("nowhere"))
    assert missing.value.code == "name_not_found"
    with pytest.raises(TargetError) as unresolved:
        await Targets([resolver]).addresses("not-a-zone-of-ours.invalid")
    assert unresolved.value.code == "name_unresolved"


async def test_at_delivery_nothing_is_sent_inside(pool, vault_mount, dns_zone, resolver) -> None:
    dns_zone.add("hook", "A", "127.0.0.1")
    async with (
        WebhookServer().serve() as hooks,
        room(pool, vault_mount, resolvers=[resolver], allowed=()) as scene,
    ):
        failed = await attempt(scene, f"http://{dns_zone.full('hook')}:{hooks.port}/")
    assert failed.code == "address_refused"
    assert not hooks.hooks


async def test_a_name_that_is_rebound_between_two_resolutions_gains_nothing(
    pool, vault_mount, dns_zone, dns_server, resolver, monkeypatch
) -> None:
    """It is resolved once. The one address that was judged is the one that is connected to."""
    name = dns_zone.full("hook")
    connected = []
    opening = asyncio.open_connection

    async def open_connection(host, port, **options):
        # The attacker's moment: after the judgement, before the connection.
        dns_zone.replace("hook", "A", "127.0.0.9")
        connected.append(host)
        return await opening(host, port, **options)

    dns_zone.add("hook", "A", "127.0.0.1")
    # The webhooks' alone, not that of all loops of this process.
    monkeypatch.setattr(webhook, "asyncio", SimpleNamespace(**{**vars(asyncio), "open_connection": open_connection}))
    async with (
        WebhookServer().serve() as hooks,
        room(pool, vault_mount, resolvers=[resolver], allowed=(ip_network("127.0.0.1/32"),)) as scene,
    ):
        assert (await attempt(scene, f"http://{name}:{hooks.port}/")).code == "delivered"
    assert connected == ["127.0.0.1"]
    assert dns_server.query_count(name, "A") == 1
    # The next message finds the new address, and it is judged anew.
    with pytest.raises(TargetError):
        await Targets([resolver], (ip_network("127.0.0.1/32"),)).addresses(name)


async def test_tls_is_verified_for_the_hostname(pool, vault_mount, dns_zone, resolver, state_dir) -> None:
    """The certificate is for `localhost` and 127.0.0.1, and of an authority that is trusted: the name is not in it."""
    files = LocalhostTls.create(state_dir)
    trust = ssl.create_default_context(cafile=str(files.authority))
    dns_zone.add("hook", "A", "127.0.0.1")
    async with WebhookServer().serve(str(files.certificate), str(files.key)) as hooks:
        files.key.unlink()  # it has been read; no key stays on disk
        async with room(pool, vault_mount, resolvers=[resolver], trust=trust) as scene:
            assert (
                await attempt(scene, f"https://{dns_zone.full('hook')}:{hooks.port}/")
            ).code == "certificate_refused"
            await scene.pool.execute("DELETE FROM deliveries")
            assert (await attempt(scene, f"https://127.0.0.1:{hooks.port}/")).code == "delivered"
            await scene.pool.execute("DELETE FROM deliveries")
        async with room(pool, vault_mount) as scene:  # an authority that nobody trusts
            assert (await attempt(scene, f"https://127.0.0.1:{hooks.port}/")).code == "certificate_refused"


async def test_http_is_refused_unless_a_setting_lets_it_through(pool, vault_mount) -> None:
    async with WebhookServer().serve() as hooks, room(pool, vault_mount, insecure=False) as scene:
        assert (await attempt(scene, f"http://127.0.0.1:{hooks.port}/")).code == "address_refused"
    assert not hooks.hooks


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[int]:
    """A server that says what HTTP servers should not. → its port"""
    tasks: set[asyncio.Task[None]] = set()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await script(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(play(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def never_ends(_reader, writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        await writer.drain()


async def trickles(_reader, writer) -> None:
    while True:
        writer.write(b"H")
        await asyncio.sleep(0.05)


async def endless_head(_reader, writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"x-more: " + b"y" * 1000 + b"\r\n")
        await writer.drain()


async def garbage(_reader, writer) -> None:
    writer.write(b"\x00\xff not http\r\n\r\n")
    await writer.drain()


async def hangs_up(_reader, _writer) -> None:
    return


async def breaks_off_in_the_body(_reader, writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await writer.drain()


async def only_interim(_reader, writer) -> None:
    writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    await writer.drain()


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (never_ends, "delivered"),
        (trickles, "timeout"),
        (endless_head, "no_answer"),
        (garbage, "no_answer"),
        (hangs_up, "no_answer"),
        (breaks_off_in_the_body, "delivered"),
        (only_interim, "no_answer"),
    ],
)
async def test_whatever_a_receiver_says_it_is_an_outcome_in_bounded_time_and_space(
    pool, vault_mount, script, code
) -> None:
    places = Places(turn=1.0, deadline=1.5)
    async with scripted(script) as port, room(pool, vault_mount, places=places) as scene:
        assert (await attempt(scene, f"http://127.0.0.1:{port}/")).code == code


async def test_nobody_listens(pool, vault_mount, ports) -> None:
    [port] = ports(1)
    async with room(pool, vault_mount) as scene:
        assert (await attempt(scene, f"http://127.0.0.1:{port}/")).code == "unreachable"


async def test_a_rotated_secret_signs_beside_the_old_one_until_its_time_is_up(scene, hooks, url, eventually) -> None:
    endpoint, tenant, old = await scene.endpoint(url())
    new = new_secret()
    version, until = await scene.secrets.rotate(endpoint, 1, new)
    assert version == 2

    async def send(number) -> None:
        await scene.happen(tenant, domain=uuid4(), hostname="a.example")
        await eventually(lambda: len(hooks.hooks) == number)

    async with scene.running():
        # Written, but not into the row: shown to nobody, used by nobody.
        await send(1)
        assert hooks.hooks[0].verified_by(old)
        await scene.pool.execute("UPDATE notification_endpoints SET secret_version = 2")
        await send(2)
        assert hooks.hooks[1].verified_by(old)
        assert hooks.hooks[1].verified_by(new)
        scene.clock.ahead = until - scene.clock()
        await send(3)
    assert len(hooks.hooks[2].headers["webhook-signature"].split(" ")) == 1


async def test_a_secret_that_is_missing_is_no_fault_of_the_receivers(scene, hooks, url) -> None:
    endpoint, tenant, _ = await scene.endpoint(url())
    await scene.secrets.destroy(endpoint)
    assert (await attempt_of(scene, tenant)).code == "signing_secret_missing"
    assert not hooks.hooks
