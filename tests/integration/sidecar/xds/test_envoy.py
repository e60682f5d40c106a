"""A real Envoy 1.40 with certificates on demand, whose secrets come from here."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from uuid import UUID

import pytest
from scenes import handshakes, secrets
from scenes.entries import changed
from scenes.handshakes import Refused, connect, fingerprint, openssl
from scenes.secrets import PLATFORM

from core.vault import certificate_path
from embedded.envoy import Envoy
from embedded.ports import free_port
from sidecar.wire import secret_pb2


@contextlib.asynccontextmanager
async def envoy_of(room, state_dir, **shape):
    port = free_port()
    async with Envoy.start(state_dir, handshakes.configuration(room.socket, port, **shape)) as envoy:
        yield envoy, port


@pytest.fixture
async def port(room, state_dir):
    async with envoy_of(room, state_dir) as (_, port):
        yield port


async def test_a_known_name_is_served_and_an_unknown_one_refused_with_an_alert_at_once(room, port):
    entry = await room.add("shop.brand.test")
    assert await fingerprint(port, "shop.brand.test") == entry.fingerprint
    for tls12 in (False, True):
        with pytest.raises(Refused) as caught:
            await connect(port, "nobody.test", tls12=tls12)
        assert caught.value.alert, caught.value
        assert caught.value.seconds < 1.0
    assert await fingerprint(port, "shop.brand.test") == entry.fingerprint


async def test_a_hundred_unknown_names_cost_neither_vault_nor_postgresql_and_leave_nothing(room, port, eventually):
    await room.add("shop.brand.test")
    await fingerprint(port, "shop.brand.test")
    before = await room.mount.read_count()
    for number in range(100):
        with pytest.raises(Refused):
            await connect(port, f"made-up-{number}.test")
    assert await room.mount.read_count() == before
    assert room.service.counters.removed_unknown == 100
    await eventually(lambda: room.service.counters.subscriptions == 1)
    assert room.service.counters.nacks == 0


async def test_an_sni_that_is_no_hostname_is_refused(room, port):
    await room.add("shop.brand.test")
    assert "BEGIN CERTIFICATE" in await openssl(port, "shop.brand.test")
    names = [
        "127.0.0.1",
        "shop.brand.test.",
        "shop..brand.test",
        "*.brand.test",
        "*",
        "client-ca/shop.brand.test",
        "a" * 255,
    ]
    for sni in names:
        output = await openssl(port, sni)
        assert "BEGIN CERTIFICATE" not in output
        assert "handshake failure" in output, output
    counters = room.service.counters
    assert counters.removed_invalid + counters.removed_unknown == len(names)


async def test_an_sni_that_is_no_text_ends_nobody_elses_secrets(room, state_dir, eventually):
    async with envoy_of(room, state_dir, patience="1s") as (_, port):
        entry = await room.add("shop.brand.test")
        assert "BEGIN CERTIFICATE" not in await openssl(port, os.fsdecode(b"sh\xf6p.brand.test"))
        assert await fingerprint(port, "shop.brand.test") == entry.fingerprint
        await room.stop()
        await room.start_again()
        await eventually(lambda: room.service.counters.streams == 1)  # on it Envoy has asked for that name again
        other = await room.add("other.brand.test")
        assert await fingerprint(port, "other.brand.test") == other.fingerprint
        assert room.server.counters.errors.total() == 0


async def test_an_sni_in_other_letters_is_the_same_name(room, port):
    entry = await room.add("shop.brand.test")
    connection = await connect(port, "SHOP.brand.test")
    connection.close()
    assert connection.fingerprint == entry.fingerprint


async def test_without_sni_and_for_the_platform_its_own_certificate_is_shown(room, port):
    certificate = await room.store_platform()
    room.add_platform("acme")
    assert await fingerprint(port, None) == certificate.fingerprint
    assert await fingerprint(port, f"acme.{PLATFORM}") == certificate.fingerprint
    newer = await room.store_platform()
    await room.platform.look()

    assert await shown_in_the_end(port, None, newer.fingerprint)


async def shown_in_the_end(port, sni, wanted) -> bool:
    """A push takes a moment."""
    for _ in range(200):
        if await fingerprint(port, sni) == wanted:
            return True
    return False


async def test_a_renewed_certificate_is_used_by_new_handshakes_and_open_connections_live_on(room, port):
    entry = await room.add("shop.brand.test")
    connection = await connect(port, "shop.brand.test")
    renewed = await room.renew(entry)
    assert await shown_in_the_end(port, "shop.brand.test", renewed.fingerprint)
    assert await connection.is_alive()
    connection.close()


async def test_a_deleted_name_is_refused_and_comes_back_when_it_is_registered_again(room, port, eventually):
    entry = await room.add("shop.brand.test")
    assert await fingerprint(port, "shop.brand.test") == entry.fingerprint
    room.remove("shop.brand.test")

    async def refused() -> bool:
        try:
            await fingerprint(port, "shop.brand.test")
        except Refused as refusal:
            return refusal.alert
        return False

    await eventually(refused)
    again = await room.add("shop.brand.test")
    assert await fingerprint(port, "shop.brand.test") == again.fingerprint


async def test_an_envoy_that_reconnects_is_sent_nothing_and_serves_all_along(room, port, eventually):
    first = await room.add("one.brand.test")
    second = await room.add("two.brand.test")
    for entry in (first, second):
        assert await fingerprint(port, entry.hostname) == entry.fingerprint
    before = replace(room.service.counters)
    reads = await room.mount.read_count()
    await room.stop()
    assert await fingerprint(port, "one.brand.test") == first.fingerprint
    renewed = await room.renew(second)
    await room.start_again()
    await eventually(lambda: room.service.counters.streams == 1)
    assert await shown_in_the_end(port, "two.brand.test", renewed.fingerprint)
    assert await fingerprint(port, "one.brand.test") == first.fingerprint
    counters = room.service.counters
    assert counters.subscriptions == 2
    assert (counters.served, counters.pushes) == (before.served, before.pushes + 1)
    assert await room.mount.read_count() == reads + 1


async def test_vault_sealed_loaded_names_go_on_cold_ones_fail_cleanly_and_recover(mortal_vault, state_dir, eventually):
    openbao = mortal_vault.openbao
    async with secrets.room(mortal_vault, state_dir) as room, envoy_of(room, state_dir) as (_, port):
        loaded = await room.add("loaded.brand.test")
        cold = await room.add("cold.brand.test")
        assert await fingerprint(port, "loaded.brand.test") == loaded.fingerprint
        certificate = room.authority.issue("loaded.brand.test")
        version = await room.store(certificate_path(UUID(loaded.domain_id)), certificate)
        await openbao.seal()
        room.put(changed(loaded, fingerprint=certificate.fingerprint, vault_version=version))
        for _ in range(3):
            with pytest.raises(Refused) as caught:
                await connect(port, "cold.brand.test")
            assert caught.value.alert
            assert caught.value.seconds < 3.0
            assert await fingerprint(port, "loaded.brand.test") == loaded.fingerprint
        await openbao.unseal()

        async def cold_is_served() -> bool:
            try:
                return await fingerprint(port, "cold.brand.test") == cold.fingerprint
            except Refused:
                return False

        await eventually(cold_is_served)

        async def renewed_is_served() -> bool:
            return await fingerprint(port, "loaded.brand.test") == certificate.fingerprint

        await eventually(renewed_is_served, timeout=10)


@pytest.mark.parametrize(
    "shape",
    [{"aggregated": False}, {"api_type": "GRPC"}, {"api_type": "GRPC", "aggregated": False}],
    ids=["a delta stream each", "state of the world", "a state-of-the-world stream each"],
)
async def test_the_other_kinds_of_stream_serve_and_are_pushed_to(room, state_dir, shape):
    async with envoy_of(room, state_dir, **shape) as (_, port):
        one = await room.add("one.brand.test")
        two = await room.add("two.brand.test")
        assert await fingerprint(port, "one.brand.test") == one.fingerprint
        assert await fingerprint(port, "two.brand.test") == two.fingerprint
        renewed = await room.renew(one)
        assert await shown_in_the_end(port, "one.brand.test", renewed.fingerprint)
        assert await fingerprint(port, "two.brand.test") == two.fingerprint
        counters = room.service.counters
        assert (counters.nacks, counters.pushes, counters.served) == (0, 1, 2)
        assert counters.streams == (1 if shape.get("aggregated", True) else 2)


async def test_a_name_refused_on_a_stream_of_its_own_leaves_no_stream(room, state_dir, eventually):
    async with envoy_of(room, state_dir, aggregated=False) as (_, port):
        for number in range(10):
            with pytest.raises(Refused) as caught:
                await connect(port, f"n{number}.nobody.test")
            assert caught.value.alert
        await eventually(lambda: room.service.counters.streams == 0)


async def test_what_envoy_rejects_is_counted_and_not_repeated(room, state_dir, eventually):
    """Our own checks refuse every pair known not to pass Envoy's, so one is put behind them."""
    async with envoy_of(room, state_dir, patience="1s") as (_, port):
        entry = await room.add("strange.brand.test")
        await room.secrets.fetch(entry)
        kept = room.secrets._kept[entry.hostname]
        strange = secret_pb2.TlsCertificate(certificate_chain=secret_pb2.DataSource(inline_bytes=b"strange"))
        certificate = replace(kept.certificate, _tls=strange.SerializeToString())
        room.secrets._kept[entry.hostname] = replace(kept, certificate=certificate)
        good = await room.add("shop.brand.test")
        with pytest.raises(Refused) as caught:
            await connect(port, "strange.brand.test")
        assert caught.value.alert
        assert caught.value.seconds < 1.0
        with pytest.raises(Refused):
            await connect(port, "strange.brand.test")
        assert room.service.counters.nacks == 1
        assert room.service.counters.served == 1
        assert await fingerprint(port, "shop.brand.test") == good.fingerprint
