"""Vault sealed, PostgreSQL away after Vault was written, the process killed between any two steps of an upload."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from scenes.uploads import VERIFY_TTL, Uploading, chain, killed_after, leaf

from api.service import DomainNotFound, Unavailable
from api.uploads import KeysUnavailable, UploadOvertaken
from control.uploads.tenant import TenantUploads
from core.vault import upload_path
from embedded.database import Database
from embedded.openbao import OpenBao
from embedded.proxy import Proxy
from embedded.vault_mount import VaultMount


@pytest.fixture
async def uploading(database: Database, vault_mount: VaultMount) -> AsyncIterator[Uploading]:
    async with Uploading.start(database, vault_mount) as uploading:
        yield uploading


async def stands(uploading: Uploading, domain_id: Any) -> None:
    """PostgreSQL and Vault say the same of it."""
    row = await uploading.pool.fetchrow("SELECT * FROM uploads WHERE ended_at IS NULL AND domain_id = $1", domain_id)
    secret = await uploading.vault.read(upload_path(domain_id), row["vault_version"])
    assert secret is not None
    assert secret.data["fingerprint"] == row["fingerprint"]
    assert (await uploading.row(domain_id))["upload_id"] == row["id"]


async def test_a_sealed_vault_is_said_and_nothing_is_changed(database: Database, state_dir: Path) -> None:
    async with OpenBao.start(state_dir) as openbao:
        mount = await VaultMount.create(openbao, "secret")
        async with Uploading.start(database, mount) as uploading:
            domain_id = await uploading.domain(status="active")
            first = leaf("shop.example.com")
            await uploading.put(domain_id, first)
            await openbao.seal()
            second = leaf("shop.example.com")
            with pytest.raises(KeysUnavailable):
                await uploading.put(domain_id, second)
            assert await uploading.told() == ["upload"]
            await openbao.unseal()
            await stands(uploading, domain_id)
            await uploading.put(domain_id, second)
            await stands(uploading, domain_id)
            assert await uploading.told() == ["upload", "upload_replace"]


async def test_vault_sealed_in_the_moment_of_the_write_keeps_the_one_before(
    database: Database, state_dir: Path
) -> None:
    async with OpenBao.start(state_dir) as openbao:
        mount = await VaultMount.create(openbao, "secret")

        def seal(step: str) -> None:
            if step == "begun" and sealing:
                headers = {"X-Vault-Token": openbao.root_token}
                assert httpx.put(f"{openbao.url}/v1/sys/seal", headers=headers, trust_env=False).is_success

        sealing = False
        async with Uploading.start(database, mount, on_step=seal) as uploading:
            domain_id = await uploading.domain(status="active")
            await uploading.put(domain_id)
            sealing = True
            with pytest.raises(KeysUnavailable):
                await uploading.put(domain_id)
            sealing = False
            await openbao.unseal()
            await stands(uploading, domain_id)
            uploading.clock.ahead = timedelta(hours=2)
            assert await uploading.clearing.round() == 0
            assert await uploading.versions(domain_id) == (1,), "what stands is not cleared for what came to nothing"


async def test_postgresql_away_after_vault_was_written_and_the_same_upload_again(
    uploading: Uploading, database: Database
) -> None:
    domain_id = await uploading.domain(status="active")
    pair = leaf("shop.example.com")
    async with Proxy.start(("127.0.0.1", database.postgres.port)) as proxy:
        dsn = database.api_dsn.replace(f":{database.postgres.port}/", f":{proxy.port}/")
        async with asyncpg.create_pool(dsn, min_size=0, max_size=4) as pool:
            loop, cut = asyncio.get_running_loop(), asyncio.Event()

            def on_step(step: str) -> None:
                if step == "kept" and not cut.is_set():
                    cut.set()
                    loop.create_task(proxy.cut())

            uploads = TenantUploads(pool, uploading.vault, VERIFY_TTL, on_step=on_step)
            with pytest.raises(Unavailable):
                await uploads.put(uploading.caller, domain_id, chain(pair), pair.key_pem)
            proxy.restore()
            assert await uploading.versions(domain_id) == (1,)
            assert (await uploading.row(domain_id))["upload_id"] is None
            taken = await uploads.put(uploading.caller, domain_id, chain(pair), pair.key_pem)
    assert taken.created
    assert await uploading.versions(domain_id) == (1,), "it was found there"
    await stands(uploading, domain_id)
    assert await uploading.told() == ["upload"]


@pytest.mark.parametrize("step", ["counted", "checked", "begun", "kept", "stands"])
async def test_killed_between_any_two_steps_it_loses_nothing_and_can_be_repeated(
    uploading: Uploading, step: str
) -> None:
    domain_id = await uploading.domain(status="active")
    await uploading.put(domain_id)
    pair = leaf("shop.example.com")
    assert await killed_after(step, uploading, domain_id, pair) is signal.SIGKILL
    await stands(uploading, domain_id)
    uploading.clock.ahead = timedelta(minutes=30)
    assert await uploading.clearing.round() == 0
    taken = await uploading.put(domain_id, pair)
    assert not taken.created
    await stands(uploading, domain_id)
    assert taken.certificates.uploaded is not None
    assert await uploading.versions(domain_id) == (1, 2)
    assert await uploading.told() == ["upload", "upload_replace"], "once, however often it was sent"


async def test_a_key_that_was_never_recorded_is_destroyed_an_hour_later(uploading: Uploading) -> None:
    domain_id = await uploading.domain(status="active")
    assert await killed_after("kept", uploading, domain_id, leaf("shop.example.com")) is signal.SIGKILL
    assert await uploading.versions(domain_id) == (1,)
    uploading.clock.ahead = timedelta(minutes=59)
    assert await uploading.clearing.round() == 0
    uploading.clock.ahead = timedelta(minutes=61)
    assert await uploading.clearing.round() == 1
    assert await uploading.versions(domain_id) == ()


async def test_an_upload_that_another_one_overtook_names_no_version_of_its_own(
    uploading: Uploading, database: Database
) -> None:
    domain_id = await uploading.domain(status="active")
    others: list[asyncio.Task[Any]] = []

    def overtaken(then: Callable[[], Any]) -> Callable[[str], None]:
        def on_step(step: str) -> None:
            if step == "begun":
                others.append(asyncio.get_running_loop().create_task(then()))

        return on_step

    async with asyncpg.create_pool(database.api_dsn, min_size=0, max_size=4) as pool:
        slow = TenantUploads(pool, uploading.vault, VERIFY_TTL, on_step=overtaken(lambda: uploading.put(domain_id)))
        slow_vault = slow._kept

        async def kept(*arguments: Any) -> int:
            await asyncio.gather(*others)  # the other one comes to its end first
            return await slow_vault(*arguments)

        slow._kept = kept  # type: ignore[method-assign]
        pair = leaf("shop.example.com")
        with pytest.raises(UploadOvertaken):
            await slow.put(uploading.caller, domain_id, chain(pair), pair.key_pem)
    await stands(uploading, domain_id)
    assert await uploading.told() == ["upload"]


async def test_a_domain_deleted_while_its_upload_is_under_way_leaves_no_key(
    uploading: Uploading, database: Database
) -> None:
    domain_id = await uploading.domain(status="active")
    async with asyncpg.create_pool(database.api_dsn, min_size=0, max_size=4) as pool:
        late = TenantUploads(pool, uploading.vault, VERIFY_TTL)
        kept = late._kept

        async def deleted_meanwhile(*arguments: Any) -> int:
            await uploading.pool.execute("UPDATE custom_domains SET deleted_at = now()")
            await uploading.vault.destroy(upload_path(domain_id))  # its revoke job has run by now
            return await kept(*arguments)

        late._kept = deleted_meanwhile  # type: ignore[method-assign]
        pair = leaf("shop.example.com")
        with pytest.raises(DomainNotFound):
            await late.put(uploading.caller, domain_id, chain(pair), pair.key_pem)
    assert await uploading.versions(domain_id) == (1,)
    uploading.clock.ahead = timedelta(minutes=61)
    assert await uploading.clearing.round() == 1
    assert await uploading.versions(domain_id) == ()
