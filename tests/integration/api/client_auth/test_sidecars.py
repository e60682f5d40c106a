"""What the sidecars read of client certificates, and when they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from scenes.asking import HOST, ROOT, body, changes, go_live


async def test_sidecars_read_what_live_domains_ask_for(
    tenant: Any, path: str, control: asyncpg.Connection[Any], sidecar: asyncpg.Connection[Any]
) -> None:
    shown = "SELECT hostname, mode, lookup, identity_by, groups_from, ca_pem, crl_pem FROM client_auth_v1"
    entry = "SELECT client_auth FROM domains_v1"
    await tenant.client.put(path, json=body(groupsFrom="O"))
    assert await sidecar.fetch(shown) == []
    assert await changes(control) == [("edge", "", False)]

    await go_live(control)
    (row,) = await sidecar.fetch(shown)
    assert tuple(row) == (HOST, "required", True, ["san", "subject", "fingerprint"], "O", ROOT.pem, None)
    assert await sidecar.fetchval(entry) is True
    # The edge changes in the transaction in which the domain goes live.
    assert sorted(await changes(control)) == [("domain", HOST, False), ("edge", "", False)]

    await tenant.client.put(path, json=body(mode="optional"))
    assert await changes(control) == [("edge", "", False)]
    await tenant.client.delete(path)
    assert await sidecar.fetch(shown) == []
    assert await sidecar.fetchval(entry) is False
    assert sorted(await changes(control)) == [("domain", HOST, False), ("edge", "", False)]
    await tenant.client.put(path, json=body())
    # Connections that were let in without a certificate end with it.
    assert sorted(await changes(control)) == [("domain", HOST, True), ("edge", "", False)]
    await go_live(control, "moved")
    assert ("edge", "", False) in await changes(control)
    await tenant.client.delete(path.removesuffix("/client-auth"))
    assert await sidecar.fetch(shown) == []
    assert sorted(await changes(control)) == [("domain", HOST, True), ("edge", "", False)]


async def test_a_domain_without_is_no_change_of_the_edge(
    tenant: Any, path: str, control: asyncpg.Connection[Any]
) -> None:
    await go_live(control)
    assert await changes(control) == [("domain", HOST, False)]


WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


async def test_a_domain_that_goes_live_at_the_same_time_is_told_of_as_if_one_came_after_the_other(
    tenant: Any,
    path: str,
    control: asyncpg.Connection[Any],
    superuser: asyncpg.Connection[Any],
    eventually: Callable[..., Awaitable[Any]],
) -> None:
    async def somebody_waits() -> bool:
        return bool(await superuser.fetchval(WAITING))

    async with control.transaction():
        await go_live(control)
        putting = asyncio.create_task(tenant.client.put(path, json=body()))
        await eventually(somebody_waits)
    assert (await putting).status_code == 201
    # Whoever was let in between the two is to hear of it.
    assert sorted(await changes(control)) == [("domain", HOST, False), ("domain", HOST, True), ("edge", "", False)]

    await tenant.client.delete(path)
    await go_live(control, "pending")
    await changes(control)
    async with superuser.transaction():
        await superuser.execute(
            """INSERT INTO client_auth (domain_id, mode, lookup, identity_by, ca_pem, ca_until)
               SELECT id, 'required', true, '{san}', 'x', now() FROM custom_domains FOR UPDATE"""
        )
        going = asyncio.create_task(go_live(control))
        await eventually(somebody_waits)
    await going
    assert sorted(await changes(control)) == [("domain", HOST, False), ("edge", "", False), ("edge", "", False)]


@pytest.mark.parametrize(
    "table", ["client_auth", "consumers", "client_auth_v1", "client_auth_below_v1", "consumers_v1"]
)
async def test_a_sidecar_reads_views_and_writes_nothing(sidecar: asyncpg.Connection[Any], table: str) -> None:
    if table.endswith("_v1"):
        assert await sidecar.fetch(f"SELECT * FROM {table}") == []
    else:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await sidecar.fetch(f"SELECT * FROM {table}")
    with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.ObjectNotInPrerequisiteStateError)):
        await sidecar.execute(f"DELETE FROM {table}")
