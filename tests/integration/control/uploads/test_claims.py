"""A Vault that does not answer holds no transaction open; who ends while it is asked neither loses nor leaves a key."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from scenes.silent import Silent
from scenes.uploads import Uploading

from api.uploads import KeysUnavailable, UploadOvertaken
from control.uploads.clearing import Clearing
from control.vault import Vault, VaultUnavailable
from core.vault_login import AppRole

OPEN = """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND state = 'idle in transaction'"""
RUN_OUT = "UPDATE upload_keys SET claimed_until = now() - interval '1 second'"


async def withdrawn(uploading: Uploading) -> UUID:
    """A domain whose upload has ended, and whose key is to be destroyed now."""
    domain_id = await uploading.domain(status="active")
    await uploading.put(domain_id)
    await uploading.uploads.delete(uploading.caller, domain_id)
    uploading.clock.ahead = timedelta(minutes=6)
    return domain_id


def clearing_at(uploading: Uploading, url: str, deadline: float) -> Clearing:
    silent = Vault(url, "secret", AppRole("role", lambda: "secret"), deadline=deadline)
    return Clearing(uploading.pool, silent, uploading.propagation, uploading.clock)


async def test_no_transaction_waits_for_a_vault_that_does_not_answer(uploading: Uploading) -> None:
    await withdrawn(uploading)
    async with Silent.start() as vault:
        clearing = asyncio.create_task(clearing_at(uploading, vault.url, 60.0).round())
        await asyncio.wait({clearing, asyncio.create_task(vault.asked.wait())}, return_when=asyncio.FIRST_COMPLETED)
        assert not clearing.done()
        assert await uploading.pool.fetchval(OPEN) == 0
        clearing.cancel()
        await asyncio.gather(clearing, return_exceptions=True)


@pytest.mark.parametrize("ended", [True, False])
async def test_whoever_ends_while_vault_is_asked_leaves_the_key_to_the_next(uploading: Uploading, ended: bool) -> None:
    domain_id = await withdrawn(uploading)
    async with Silent.start() as vault:
        if ended:
            clearing = asyncio.create_task(clearing_at(uploading, vault.url, 60.0).round())
            await vault.asked.wait()
            clearing.cancel()
            await asyncio.gather(clearing, return_exceptions=True)
        else:
            with pytest.raises(VaultUnavailable):
                await clearing_at(uploading, vault.url, 0.2).round()
    assert await uploading.clearing.round() == 0, "it may be destroyed any moment now, so nobody writes there"
    assert await uploading.versions(domain_id) == (1,)
    await uploading.pool.execute(RUN_OUT)
    assert await uploading.clearing.round() == 1
    assert await uploading.versions(domain_id) == ()
    assert await uploading.pool.fetchval("SELECT count(*) FROM upload_keys") == 0


async def test_nothing_is_uploaded_into_a_path_that_may_be_destroyed_any_moment(
    uploading: Uploading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control.vault_claims.WAITS", (0.01, 0.01))
    domain_id = await withdrawn(uploading)
    async with Silent.start() as vault:
        with pytest.raises(VaultUnavailable):
            await clearing_at(uploading, vault.url, 0.2).round()
    with pytest.raises(KeysUnavailable):
        await uploading.put(domain_id)
    await uploading.vault.destroy(f"nameplate/uploads/{domain_id}")  # what was asked for, late
    await uploading.pool.execute(RUN_OUT)
    assert (await uploading.put(domain_id)).created
    version = await uploading.pool.fetchval("SELECT vault_version FROM uploads WHERE ended_at IS NULL")
    assert await uploading.clearing.round() == 0
    assert await uploading.versions(domain_id) == (version,)


async def test_an_upload_that_a_claim_has_overtaken_does_not_stand(
    uploading: Uploading, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its key is destroyed before it is announced: so it never is, and may come again."""
    domain_id = await uploading.domain(status="active")
    write = uploading.vault.write

    async def write_and_be_late(path: str, data: Mapping[str, Any], *, cas: int) -> int:
        version = await write(path, data, cas=cas)
        await uploading.pool.execute("UPDATE upload_keys SET clear_at = now() - interval '1 hour'")
        assert await uploading.clearing.round() == 1
        return version

    monkeypatch.setattr(uploading.vault, "write", write_and_be_late)
    with pytest.raises(UploadOvertaken):
        await uploading.put(domain_id)
    assert await uploading.pool.fetchval("SELECT count(*) FROM uploads") == 0
    monkeypatch.undo()
    assert (await uploading.put(domain_id)).created
