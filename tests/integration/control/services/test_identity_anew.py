"""An identity that was deleted and made anew while somebody was replacing it: nobody's key is another's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from scenes.hierarchy import Hierarchy

from api.admin.upstreams import ChangedMeanwhile, Upstreams
from api.auth import Operator
from api.conditions import ALWAYS
from control.services.identities import PlatformIdentities, sweep
from control.services.transactions import Transactions
from control.vault import Vault
from core.certificate import Certificate
from core.vault import identity_path
from core.vault_login import AppRole
from embedded.vault_mount import VaultMount

PATH = identity_path("edge")


class Slow(Vault):
    """What it writes is there, but it does not say so before it is told to."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.written, self.go_on = asyncio.Event(), asyncio.Event()

    async def write(self, path: str, data: Mapping[str, Any], *, cas: int) -> int:
        version = await super().write(path, data, cas=cas)
        self.written.set()
        await self.go_on.wait()
        return version


def certificate() -> Certificate:
    made = Hierarchy.of("edge.platform.io")
    return Certificate.parse(made.chain, made.leaf.key_pem)


@pytest.mark.parametrize("was_there", [True, False])
async def test_a_change_of_the_one_before_does_not_touch_the_one_after(
    pool: Any, vault: Vault, vault_mount: VaultMount, upstreams: Upstreams, root: Operator, was_there: bool
) -> None:
    if was_there:
        await upstreams.identities.put(root, "edge", certificate(), ALWAYS)
    role = vault_mount.control
    slow = Slow(vault_mount.url, vault_mount.path, AppRole(role.role_id, lambda: role.secret_id))
    late = asyncio.create_task(PlatformIdentities(Transactions(pool), slow).put(root, "edge", certificate(), ALWAYS))
    try:
        await slow.written.wait()
        if was_there:
            await upstreams.identities.delete(root, "edge", ALWAYS)
        assert await sweep(pool, vault, after=0) == 1
        after = certificate()
        await upstreams.identities.put(root, "edge", after, ALWAYS)
        slow.go_on.set()
        with pytest.raises(ChangedMeanwhile):
            await late
    finally:
        late.cancel()
        slow.close()
    row = await pool.fetchrow("SELECT fingerprint, vault_version FROM identities_v1")
    secret = await vault.read(PATH, row["vault_version"])
    assert secret is not None
    assert Certificate.from_vault(dict(secret.data)).fingerprint == row["fingerprint"] == after.fingerprint
