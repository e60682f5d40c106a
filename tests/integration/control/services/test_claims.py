"""Identities' keys are destroyed without a transaction that waits for Vault, and whoever ends meanwhile loses none."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from scenes.hierarchy import Hierarchy
from scenes.silent import Silent

from api.admin.upstreams import Upstreams
from api.auth import Operator
from api.conditions import ALWAYS
from api.uploads import KeysUnavailable
from control.services.identities import sweep
from control.vault import Vault, VaultUnavailable
from core.certificate import Certificate
from core.vault import identity_path
from core.vault_login import AppRole

OPEN = """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND state = 'idle in transaction'"""
RUN_OUT = "UPDATE identities SET claimed_until = now() - interval '1 second'"
PATH = identity_path("edge")


def certificate() -> Certificate:
    made = Hierarchy.of("edge.platform.io")
    return Certificate.parse(made.chain, made.leaf.key_pem)


@pytest.fixture
async def removed(upstreams: Upstreams, root: Operator) -> None:
    await upstreams.identities.put(root, "edge", certificate(), ALWAYS)
    await upstreams.identities.delete(root, "edge", ALWAYS)


async def test_who_ends_while_vault_is_asked_holds_nothing_and_leaves_it_to_the_next(
    pool: Any, vault: Vault, upstreams: Upstreams, root: Operator, removed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control.vault_claims.WAITS", (0.01, 0.01))
    async with Silent.start() as silent:
        sweeping = asyncio.create_task(
            sweep(pool, Vault(silent.url, "secret", AppRole("role", lambda: "secret"), deadline=60), 0)
        )
        await silent.asked.wait()
        assert await pool.fetchval(OPEN) == 0
        with pytest.raises(KeysUnavailable):
            await upstreams.identities.put(root, "edge", certificate(), ALWAYS)
        await upstreams.identities.put(root, "other", certificate(), ALWAYS)
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)
    assert await sweep(pool, vault, after=0) == 0
    assert await vault.versions(PATH) == (1,)
    await pool.execute(RUN_OUT)
    assert await sweep(pool, vault, after=0) == 1
    assert await vault.versions(PATH) == ()
    assert await pool.fetchval("SELECT array_agg(name) FROM identities") == ["other"]


async def test_one_that_is_made_again_after_the_claim_has_run_out_is_kept(
    pool: Any, vault: Vault, upstreams: Upstreams, root: Operator, removed: None
) -> None:
    async with Silent.start() as silent:
        with pytest.raises(VaultUnavailable):
            await sweep(pool, Vault(silent.url, "secret", AppRole("role", lambda: "secret"), deadline=0.2), 0)
    await vault.destroy(PATH)  # what was asked for, late
    await pool.execute(RUN_OUT)
    await upstreams.identities.put(root, "edge", certificate(), ALWAYS)
    assert await sweep(pool, vault, after=0) == 0
    version = await pool.fetchval("SELECT vault_version FROM identities_v1")
    assert await vault.versions(PATH) == (version,)
