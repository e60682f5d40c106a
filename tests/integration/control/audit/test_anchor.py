"""Checkpoints, and their end in Vault."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from control.audit.anchor import LATEST, Anchor, Anchoring, AnchorMismatch
from control.vault import Vault, VaultError
from core.vault import AUDIT_CHECKPOINT
from core.vault_login import AppRole

A, B = UUID(int=0xA), UUID(int=0xB)


async def test_a_checkpoint_lists_what_has_moved_and_vault_has_its_end(log) -> None:
    listed = await log.pool.fetch(
        "SELECT number, heads ? $1 AS a, heads ? $2 AS b FROM audit_checkpoints", str(A), str(B)
    )
    assert [tuple(row) for row in listed] == [(1, True, True), (2, True, True)]
    await log.anchoring.anchor()
    newest = await log.pool.fetchrow(
        "SELECT number, heads ? $1 AS a, heads ? $2 AS b FROM audit_checkpoints ORDER BY number DESC LIMIT 1",
        str(A),
        str(B),
    )
    assert tuple(newest) == (3, True, False)
    assert await log.anchor() == Anchor(*await log.pool.fetchrow(LATEST))


async def test_nothing_is_written_when_nothing_has_moved(log) -> None:
    await log.anchoring.anchor()
    before = await log.vault.read(AUDIT_CHECKPOINT)
    await log.anchoring.anchor()
    assert await log.pool.fetchval("SELECT max(number) FROM audit_checkpoints") == 3
    assert (await log.vault.read(AUDIT_CHECKPOINT)).version == before.version


async def test_replicas_that_anchor_at_once_do_no_harm(log) -> None:
    for _ in range(5):
        await log.write(A, "more")
        await asyncio.gather(*(log.anchoring.anchor() for _ in range(4)))
    await log.anchoring.anchor()
    assert (await log.verify()).findings == []
    assert await log.anchor() == Anchor(*await log.pool.fetchrow(LATEST))


async def test_a_checkpoint_that_did_not_come_to_vault_does_so_the_next_time(log) -> None:
    await log.anchoring._make()
    assert (await log.anchor()).number == 2
    await log.anchoring.anchor()
    assert (await log.anchor()).number == 3


async def test_vault_is_not_made_to_forget_what_the_database_has_lost(log) -> None:
    await log.tamper(
        "DELETE FROM audit_checkpoints WHERE number = 2; UPDATE audit_heads SET anchored = least(anchored, 2)"
    )
    for _ in range(2):  # also once the number is taken by another checkpoint
        with pytest.raises(AnchorMismatch):
            await log.anchoring.anchor()
    assert (await log.anchor()).number == 2
    assert "unanchored" in {code for code, *_ in await log.found()}
    await log.anchoring.accept()
    assert (await log.verify()).findings == []
    await log.anchoring.anchor()


async def test_an_anchor_that_was_deleted_is_written_again(log, vault_mount) -> None:
    await vault_mount.openbao.request(
        "DELETE", f"{vault_mount.path}/metadata/{AUDIT_CHECKPOINT}"
    )  # not control: it may not
    await log.anchoring.anchor()
    assert (await log.anchor()).number == 3


async def test_what_vault_has_must_be_readable(log) -> None:
    _, cas = await log.vault.read_with_cas(AUDIT_CHECKPOINT)
    await log.vault.write(AUDIT_CHECKPOINT, {"number": "two"}, cas=cas)
    with pytest.raises(VaultError):
        await log.anchoring.anchor()
    await log.anchoring.accept()
    assert (await log.verify()).findings == []


async def test_the_loop_goes_on_without_vault_and_takes_up_what_it_missed(log, vault_mount, eventually) -> None:
    secret = "wrong"
    role = vault_mount.control
    vault = Vault(vault_mount.url, vault_mount.path, AppRole(role.role_id, lambda: secret))
    task = asyncio.create_task(Anchoring(log.pool, vault, every=0.01).run())
    try:
        await eventually(lambda: log.pool.fetchval("SELECT max(number) = 3 FROM audit_checkpoints"))
        assert (await log.anchor()).number == 2
        secret = role.secret_id

        async def anchored() -> bool:
            return (await log.anchor()).number == 3

        await eventually(anchored)
        assert not task.done()
    finally:
        task.cancel()
        vault.close()
