"""The fixtures that every other test stands on."""

import asyncpg
import pytest

from embedded.plain_http import plain_http


async def test_a_fresh_database_has_our_schema_and_its_roles(database):
    connection = await asyncpg.connect(database.sidecar_dsn)
    try:
        assert await connection.fetch("SELECT * FROM domains_v1") == []
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("SELECT * FROM custom_domains")
    finally:
        await connection.close()


async def test_each_statement_in_a_database_is_counted(database):
    before = await database.statement_count()
    connection = await asyncpg.connect(database.control_dsn)
    await connection.fetch("SELECT 1")
    await connection.close()
    assert await database.statement_count() > before


async def test_the_sidecar_may_read_certificates_and_not_pending_keys(vault_mount):
    openbao = vault_mount.openbao
    for path in ("certs/a", "pending/a"):
        await openbao.request("POST", f"{vault_mount.path}/data/nameplate/{path}", {"data": {"k": "v"}})
    role_id, secret_id = vault_mount.sidecar
    async with plain_http(base_url=f"{vault_mount.url}/v1/") as client:
        login = await client.post("auth/approle/login", json={"role_id": role_id, "secret_id": secret_id})
        client.headers["X-Vault-Token"] = login.json()["auth"]["client_token"]
        reads = await vault_mount.read_count()
        allowed = await client.get(f"{vault_mount.path}/data/nameplate/certs/a")
        assert allowed.json()["data"]["data"] == {"k": "v"}
        assert await vault_mount.read_count() == reads + 1
        assert (await client.get(f"{vault_mount.path}/data/nameplate/pending/a")).status_code == 403


async def test_eventually_returns_the_value_and_says_what_it_saw_last(eventually):
    values = iter([0, 0, 7])
    assert await eventually(lambda: next(values)) == 7
    with pytest.raises(AssertionError, match="last: 0"):
        await eventually(lambda: 0, timeout=0.05)
