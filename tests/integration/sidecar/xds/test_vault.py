"""The sidecar's Vault client on a real OpenBao, whose tokens expire, are revoked, and which is sealed and stopped."""

from __future__ import annotations

import asyncio
import logging
import time
from uuid import uuid4

import pytest
import structlog

from core.vault import acme_account_path, certificate_path
from core.vault_login import AppRole
from embedded.vault_mount import VaultMount
from sidecar.certs.vault import Vault
from sidecar.certs.vault_answers import VaultDenied, VaultNotFound, VaultUnavailable


def vault_of(mount: VaultMount, **changes: object) -> Vault:
    credentials = {"role_id": mount.sidecar.role_id, "secret_id": lambda: mount.sidecar.secret_id, **changes}
    return Vault(mount.url, mount=mount.path, login=AppRole(**credentials))


async def write(mount: VaultMount, path: str, value: str) -> None:
    await mount.openbao.request("POST", f"{mount.path}/data/{path}", {"data": {"value": value}})


@pytest.fixture
async def vault(vault_mount):
    async with vault_of(vault_mount) as vault:
        yield vault


@pytest.fixture
async def path(vault_mount):
    """With "one" as version 1 and "two" as version 2."""
    path = certificate_path(uuid4())
    await write(vault_mount, path, "one")
    await write(vault_mount, path, "two")
    return path


async def test_the_newest_version_is_read(vault, path):
    record = await vault.read(path)
    assert (record.data["value"], record.version) == ("two", 2)


async def test_the_version_asked_for_is_read(vault, path):
    record = await vault.read(path, 1)
    assert (record.data["value"], record.version) == ("one", 1)


async def test_many_reads_at_once_log_in_once(path, vault_mount):
    logins: list[int] = []
    async with vault_of(vault_mount, secret_id=lambda: logins.append(1) or vault_mount.sidecar.secret_id) as vault:
        records = await asyncio.gather(*(vault.read(path) for _ in range(50)))
    assert {record.version for record in records} == {2}
    assert len(logins) == 1


async def test_what_was_never_written_is_not_found(vault):
    with pytest.raises(VaultNotFound) as caught:
        await vault.read(certificate_path(uuid4()))
    assert caught.value.code == "vault_not_found"


@pytest.mark.parametrize("verb", ["delete", "destroy"])
async def test_a_version_that_is_gone_is_not_found_and_the_others_are(vault, path, vault_mount, verb):
    await vault_mount.openbao.request("PUT", f"{vault_mount.path}/{verb}/{path}", {"versions": [1]})
    with pytest.raises(VaultNotFound):
        await vault.read(path, 1)
    assert (await vault.read(path)).version == 2


async def test_a_version_that_does_not_exist_yet_is_not_found(vault, path):
    with pytest.raises(VaultNotFound):
        await vault.read(path, 3)


async def test_what_the_policy_does_not_allow_is_denied(vault):
    with pytest.raises(VaultDenied):
        await vault.read(acme_account_path("https://ca.test/directory"))


async def test_a_wrong_secret_id_is_denied(vault_mount, path):
    async with vault_of(vault_mount, secret_id=lambda: str(uuid4())) as vault:
        with pytest.raises(VaultDenied):
            await vault.read(path)


async def test_a_secret_id_that_cannot_be_read_is_denied(vault_mount, path, tmp_path):
    async with vault_of(vault_mount, secret_id=(tmp_path / "none").read_text) as vault:
        with pytest.raises(VaultDenied):
            await vault.read(path)


async def test_a_secret_id_that_is_no_text_is_denied(vault_mount, path, tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    async with vault_of(vault_mount, secret_id=(tmp_path / "binary").read_text) as vault:
        with pytest.raises(VaultDenied):
            await vault.read(path)


async def test_a_new_secret_id_is_used_at_the_next_login(vault_mount, path, eventually):
    secret_ids = [str(uuid4()), vault_mount.sidecar.secret_id]
    async with vault_of(vault_mount, secret_id=lambda: secret_ids.pop(0)) as vault:
        with pytest.raises(VaultDenied):
            await vault.read(path)

        async def read() -> bool:
            try:
                return (await vault.read(path)).version == 2
            except VaultUnavailable:  # it holds off for a moment
                return False

        await eventually(read)


async def test_a_revoked_token_is_replaced(vault, path, vault_mount, eventually):
    await vault.read(path)
    revoked = vault._token
    await vault_mount.openbao.request("POST", "auth/token/revoke", {"token": revoked.text})

    async def read() -> bool:
        try:
            return (await vault.read(path)).version == 2
        except VaultDenied:  # a young token's 403 is about the policy
            return False

    await eventually(read)
    assert vault._token != revoked


async def test_an_expired_token_is_replaced_before_it_is_used(vault_mount, path, eventually):
    openbao = vault_mount.openbao
    role = await openbao.approle(f"{vault_mount.path}-short", [f"{vault_mount.path}-sidecar"], token_ttl="1s")
    async with vault_of(vault_mount, role_id=role.role_id, secret_id=lambda: role.secret_id) as vault:
        await vault.read(path)
        first = vault._token
        assert (first.lifetime, first.renewable) == (1.0, True)
        await eventually(lambda: time.monotonic() > first.expires_at)
        assert (await vault.read(path)).version == 2
        assert vault._token != first
    await openbao.delete_approle(f"{vault_mount.path}-short")


async def test_a_token_is_renewed_and_replaced_when_it_nears_its_last_day(vault_mount, path, eventually):
    openbao = vault_mount.openbao
    name = f"{vault_mount.path}-renewed"
    role = await openbao.approle(name, [f"{vault_mount.path}-sidecar"], token_ttl="1s")
    await openbao.request("POST", f"auth/approle/role/{name}", {"token_max_ttl": "3s"})
    async with vault_of(vault_mount, role_id=role.role_id, secret_id=lambda: role.secret_id) as vault:
        running = asyncio.create_task(vault.run())
        await vault.read(path)
        first = vault._token
        await eventually(lambda: vault._token.since > first.since)
        assert vault._token.text == first.text
        await eventually(lambda: vault._token.text != first.text)
        assert (await vault.read(path)).version == 2
        running.cancel()
    await openbao.delete_approle(name)


async def test_sealed_or_stopped_is_unavailable_at_once_and_passes(mortal_vault, eventually):
    openbao = mortal_vault.openbao
    path = certificate_path(uuid4())
    await write(mortal_vault, path, "one")
    async with vault_of(mortal_vault) as vault:

        async def read() -> bool:
            try:
                return (await vault.read(path)).version == 1
            except VaultUnavailable:
                return False

        await vault.read(path)
        await openbao.seal()
        with pytest.raises(VaultUnavailable):
            await vault.read(path)
        await openbao.unseal()
        await eventually(read)
        await openbao.stop()
        try:
            with pytest.raises(VaultUnavailable):
                await vault.read(path)
            started = time.monotonic()
            for _ in range(1000):  # while it holds off, reads cost nothing
                with pytest.raises(VaultUnavailable):
                    await vault.read(path)
            assert time.monotonic() - started < 1.0
        finally:
            await openbao.start_again()
        await eventually(read)


async def test_secrets_are_in_no_log_and_no_text(vault_mount, path):
    secret_id = vault_mount.sidecar.secret_id
    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with structlog.testing.capture_logs() as events:
            logging.getLogger("any library").debug("is heard")
            async with vault_of(vault_mount) as vault:
                record = await vault.read(path)
                token = vault._token
                with pytest.raises(VaultDenied) as denied:
                    await vault.read("nameplate/acme/x")
            async with vault_of(vault_mount, secret_id=lambda: f"{secret_id}x") as wrong:
                with pytest.raises(VaultDenied) as refused:
                    await wrong.read(path)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    texts = [*records, *map(str, events), repr(record), repr(token), repr(denied.value), repr(refused.value)]
    assert "is heard" in records
    assert events
    for text in texts:
        assert secret_id not in text
        assert token.text not in text
        assert "two" not in text
