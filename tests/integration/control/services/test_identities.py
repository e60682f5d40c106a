"""Identities between PostgreSQL and Vault: whoever dies on the way leaves nothing that is used."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
from scenes.hierarchy import Hierarchy

from api.admin.upstreams import ChangedMeanwhile, NotThere, Upstreams
from api.auth import Operator
from api.conditions import ALWAYS
from api.uploads import KeysUnavailable
from control.services.identities import PlatformIdentities, sweep
from control.services.transactions import Transactions
from control.vault import Vault, VaultDenied
from core.certificate import Certificate
from core.vault import identity_path
from core.vault_login import AppRole
from embedded.vault_mount import VaultMount

PATH = identity_path("edge")


def certificate() -> Certificate:
    made = Hierarchy.of("edge.platform.io")
    return Certificate.parse(made.chain, made.leaf.key_pem)


class Killed(BaseException):
    """As the process would be."""


def dying(pool: asyncpg.Pool[Any], vault: Vault, after: str) -> PlatformIdentities:
    def on_step(step: str) -> None:
        if step == after:
            raise Killed

    return PlatformIdentities(Transactions(pool), vault, on_step)


async def announced(pool: asyncpg.Pool[Any]) -> list[tuple[str, str, int]]:
    return [tuple(row) for row in await pool.fetch("SELECT name, fingerprint, vault_version FROM identities_v1")]


async def stored(vault: Vault, version: int) -> str:
    secret = await vault.read(PATH, version)
    assert secret is not None
    return Certificate.from_vault(dict(secret.data)).fingerprint


@pytest.mark.parametrize(("after", "versions"), [("begun", ()), ("kept", (1,))])
async def test_a_first_upload_that_dies_announces_nothing_and_is_swept(
    pool: Any, vault: Vault, upstreams: Upstreams, root: Operator, after: str, versions: tuple[int, ...]
) -> None:
    with pytest.raises(Killed):
        await dying(pool, vault, after).put(root, "edge", certificate(), ALWAYS)
    assert await announced(pool) == []
    assert await upstreams.identities.all(root) == []
    assert await vault.versions(PATH) == versions
    assert await sweep(pool, vault) == 0  # somebody may still be at it
    assert await sweep(pool, vault, after=0) == 1
    assert await vault.versions(PATH) == ()
    assert await pool.fetchval("SELECT count(*) FROM identities") == 0


@pytest.mark.parametrize("after", ["begun", "kept"])
async def test_a_replacement_that_dies_leaves_the_one_before_in_force(
    pool: Any, vault: Vault, upstreams: Upstreams, root: Operator, after: str
) -> None:
    first, second, third = certificate(), certificate(), certificate()
    await upstreams.identities.put(root, "edge", first, ALWAYS)
    with pytest.raises(Killed):
        await dying(pool, vault, after).put(root, "edge", second, ALWAYS)
    assert await announced(pool) == [("edge", first.fingerprint, 1)]
    assert await stored(vault, 1) == first.fingerprint
    assert await sweep(pool, vault, after=0) == 0
    _, created = await upstreams.identities.put(root, "edge", third, ALWAYS)
    ((_, fingerprint, version),) = await announced(pool)
    assert not created
    assert (fingerprint, await stored(vault, version)) == (third.fingerprint, third.fingerprint)


async def test_a_removed_identity_is_destroyed_after_it_is_not_announced_any_more(
    pool: Any, vault: Vault, upstreams: Upstreams, root: Operator
) -> None:
    await upstreams.identities.put(root, "edge", certificate(), ALWAYS)
    await upstreams.identities.delete(root, "edge", ALWAYS)
    assert await announced(pool) == []
    assert await vault.versions(PATH) == (1,)  # sidecars may be reading it still
    assert await sweep(pool, vault) == 0
    assert await sweep(pool, vault, after=0) == 1
    assert await vault.versions(PATH) == ()
    with pytest.raises(NotThere):
        await upstreams.identities.delete(root, "edge", ALWAYS)


async def test_one_that_is_made_again_before_it_is_destroyed_is_kept(
    pool: Any, vault: Vault, upstreams: Upstreams, root: Operator
) -> None:
    again = certificate()
    await upstreams.identities.put(root, "edge", certificate(), ALWAYS)
    await upstreams.identities.delete(root, "edge", ALWAYS)
    record, created = await upstreams.identities.put(root, "edge", again, ALWAYS)
    assert (created, record.fingerprint) == (True, again.fingerprint)
    assert await sweep(pool, vault, after=0) == 0
    ((_, _, version),) = await announced(pool)
    assert await stored(vault, version) == again.fingerprint


async def test_one_that_is_made_again_after_it_was_destroyed_is_read_right(
    pool: Any, vault: Vault, upstreams: Upstreams, root: Operator
) -> None:
    """Its versions begin anew, so a version alone names nothing."""
    first, second = certificate(), certificate()
    await upstreams.identities.put(root, "edge", first, ALWAYS)
    await upstreams.identities.delete(root, "edge", ALWAYS)
    await sweep(pool, vault, after=0)
    await upstreams.identities.put(root, "edge", second, ALWAYS)
    assert await announced(pool) == [("edge", second.fingerprint, 1)]
    assert await stored(vault, 1) == second.fingerprint


async def test_an_upload_waits_for_the_sweeper_and_outlives_it(
    pool: Any, vault: Vault, upstreams: Upstreams, root: Operator
) -> None:
    """Both at once, many times: what is announced can always be read."""
    for _ in range(5):
        new = certificate()
        await upstreams.identities.put(root, "edge", certificate(), ALWAYS)
        await upstreams.identities.delete(root, "edge", ALWAYS)
        swept, put = await asyncio.gather(
            sweep(pool, vault, after=0), upstreams.identities.put(root, "edge", new, ALWAYS), return_exceptions=True
        )
        assert not isinstance(swept, BaseException)
        assert isinstance(put, tuple | ChangedMeanwhile), put
        for _, fingerprint, version in await announced(pool):
            assert await stored(vault, version) == fingerprint


async def test_one_that_is_removed_while_it_is_replaced_stays_removed(
    pool: Any, vault: Vault, upstreams: Upstreams, root: Operator
) -> None:
    await upstreams.identities.put(root, "edge", certificate(), ALWAYS)
    waiting, go_on = asyncio.Event(), asyncio.Event()

    class Slow(PlatformIdentities):
        async def _keep(self, name: str, certificate: Certificate) -> int:
            waiting.set()
            await go_on.wait()
            return await super()._keep(name, certificate)

    replacing = asyncio.create_task(Slow(Transactions(pool), vault).put(root, "edge", certificate(), ALWAYS))
    await waiting.wait()
    await upstreams.identities.delete(root, "edge", ALWAYS)
    go_on.set()
    with pytest.raises(ChangedMeanwhile):
        await replacing
    assert await announced(pool) == []


async def test_without_vault_nothing_is_changed(
    pool: Any, vault: Vault, vault_mount: VaultMount, upstreams: Upstreams, root: Operator
) -> None:
    first = certificate()
    await upstreams.identities.put(root, "edge", first, ALWAYS)
    away = Vault("http://127.0.0.1:1", vault_mount.path, AppRole("role", lambda: "secret"), deadline=1.0)
    try:
        with pytest.raises(KeysUnavailable):
            await PlatformIdentities(Transactions(pool), away).put(root, "edge", certificate(), ALWAYS)
        with pytest.raises(KeysUnavailable):
            await PlatformIdentities(Transactions(pool), away).put(root, "other", certificate(), ALWAYS)
    finally:
        away.close()
    assert await announced(pool) == [("edge", first.fingerprint, 1)]


async def test_the_sidecar_may_read_identities_and_nothing_else_of_control(
    vault_mount: VaultMount, upstreams: Upstreams, root: Operator, vault: Vault
) -> None:
    await upstreams.identities.put(root, "edge", certificate(), ALWAYS)
    role = vault_mount.sidecar
    sidecar = Vault(vault_mount.url, vault_mount.path, AppRole(role.role_id, lambda: role.secret_id))
    try:
        assert await sidecar.read(PATH) is not None
        with pytest.raises(VaultDenied):
            await sidecar.write(PATH, {"key": "x"}, cas=1)
    finally:
        sidecar.close()
