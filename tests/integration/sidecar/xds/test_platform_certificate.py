"""The platform's own certificate, which an operator writes to Vault."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from scenes.secrets import PLATFORM

from core.certificate import CertificateError
from sidecar.certs.platform import PlatformCertificate
from sidecar.certs.vault_answers import VaultNotFound, VaultRecord


@pytest.fixture
async def running(room):
    """Looks again every 50 ms."""
    platform = PlatformCertificate(room.vault, PLATFORM, interval=0.05)
    task = asyncio.create_task(platform.run())
    yield platform
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await platform.close()


async def test_it_is_found_when_it_appears_and_when_it_changes(room, running, eventually):
    changes: list[str] = []
    running.on_change = lambda: changes.append(running.current.version)
    first = await room.store_platform()
    await eventually(lambda: running.current is not None)
    assert running.current.facts.fingerprint == first.fingerprint
    second = await room.store_platform()
    await eventually(lambda: running.current.facts.fingerprint == second.fingerprint)
    assert len(changes) == 2


@pytest.mark.parametrize(
    ("names", "until", "code"),
    [
        (["*.elsewhere.test"], timedelta(days=1), "certificate_wrong_name"),
        ([PLATFORM], timedelta(days=1), "certificate_wrong_name"),
        ([f"*.{PLATFORM}"], timedelta(minutes=-1), "certificate_expired"),
    ],
)
async def test_one_that_is_not_fit_leaves_the_old_one(room, names, until, code):
    good = await room.store_platform()
    await room.platform.look()
    await room.store("nameplate/platform/default", room.authority.issue(*names, until=until))
    with pytest.raises(CertificateError) as caught:
        await room.platform.look()
    assert caught.value.code == code
    assert room.platform.current.facts.fingerprint == good.fingerprint


async def test_without_one_a_load_says_so_and_asks_vault_once_in_a_while(room):
    before = await room.mount.read_count()
    for _ in range(10):
        with pytest.raises(VaultNotFound):
            await room.platform.load()
    assert await room.mount.read_count() == before + 1


async def test_loads_at_one_time_are_one_read(room):
    await room.store_platform()
    before = await room.mount.read_count()
    await asyncio.gather(*(room.platform.load() for _ in range(20)))
    assert await room.mount.read_count() == before + 1


async def test_closed_it_leaves_no_look_under_way(eventually):
    """`run` is cancelled at any moment, and what it waits for is not."""

    class Hanging:
        async def read(self, _path: str, _version: int | None = None) -> VaultRecord:
            await asyncio.Event().wait()
            raise AssertionError("unreachable")

    def looks() -> list[asyncio.Task[object]]:
        return [task for task in asyncio.all_tasks() if task.get_name() == "platform certificate"]

    platform = PlatformCertificate(Hanging(), PLATFORM)
    running = asyncio.create_task(platform.run())
    await eventually(looks)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert looks()
    await platform.close()
    assert not looks()
