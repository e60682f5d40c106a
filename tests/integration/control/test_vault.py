"""Control's Vault client on a real OpenBao."""

from __future__ import annotations

import asyncio
import socket
import traceback
from collections.abc import Set
from dataclasses import dataclass
from uuid import uuid4

import pytest

from control.vault import Vault, VaultConflict, VaultDenied, VaultError, VaultUnavailable
from core.vault import AUDIT_CHECKPOINT, acme_account_path, certificate_path, eab_path, pending_key_path
from core.vault_login import AppRole
from embedded.openbao import OpenBao
from embedded.ports import free_port
from embedded.vault_mount import VaultMount

PATH = certificate_path(uuid4())
SECRET = "a-very-secret-value"


def client(mount: VaultMount, **changes) -> Vault:
    role_id, secret_id = mount.control
    login = AppRole(role_id, changes.pop("secret_id", lambda: secret_id))
    return Vault(**{"address": mount.url, "mount": mount.path, "login": login, **changes})


@pytest.fixture
def vault(vault_mount):
    vault = client(vault_mount)
    yield vault
    vault.close()


@dataclass(frozen=True, slots=True)
class Tokens:
    """Those that control's AppRole is given in a test. `before`: the accessors of all that others have left."""

    mount: VaultMount
    before: Set[str]

    async def given(self) -> set[str]:
        """Their accessors."""
        found = await accessors(self.mount.openbao) - self.before
        role = {"role_name": f"{self.mount.path}-control"}
        return {accessor for accessor in found if (await self.lookup(accessor)).get("meta", {}) == role}

    async def lookup(self, accessor: str) -> dict:
        asked = await self.mount.openbao.request("POST", "auth/token/lookup-accessor", {"accessor": accessor})
        return asked["data"]

    async def revoke(self) -> None:
        for accessor in await self.given():
            await self.mount.openbao.request("POST", "auth/token/revoke-accessor", {"accessor": accessor})


async def accessors(openbao: OpenBao) -> set[str]:
    return set((await openbao.request("LIST", "auth/token/accessors"))["data"]["keys"])


@pytest.fixture
async def tokens(vault_mount) -> Tokens:
    return Tokens(vault_mount, await accessors(vault_mount.openbao))


async def test_what_was_written_is_read_with_its_version(vault):
    assert await vault.read(PATH) is None
    assert await vault.write(PATH, {"key": SECRET}, cas=0) == 1
    assert await vault.read(PATH) == ({"key": SECRET}, 1)
    assert await vault.write(PATH, {"key": "other"}, cas=1) == 2
    assert await vault.read_with_cas(PATH) == (({"key": "other"}, 2), 2)
    assert await vault.read(PATH, 1) == ({"key": SECRET}, 1)
    assert await vault.versions(PATH) == (1, 2)


@pytest.mark.parametrize("cas", [0, 2])
async def test_a_write_over_a_version_that_is_not_the_latest_is_a_conflict_and_changes_nothing(vault, cas):
    await vault.write(PATH, {"key": SECRET}, cas=0)
    with pytest.raises(VaultConflict):
        await vault.write(PATH, {"key": "other"}, cas=cas)
    assert await vault.read(PATH) == ({"key": SECRET}, 1)


async def test_of_two_writers_at_once_one_wins(vault):
    writes = [vault.write(PATH, {"key": str(number)}, cas=0) for number in range(8)]
    ends = await asyncio.gather(*writes, return_exceptions=True)
    assert sorted(type(end).__name__ for end in ends) == ["VaultConflict"] * 7 + ["int"]
    assert await vault.versions(PATH) == (1,)


async def test_destroyed_nothing_is_left_and_destroying_again_is_no_error(vault):
    await vault.write(PATH, {"key": SECRET}, cas=0)
    await vault.write(PATH, {"key": SECRET}, cas=1)
    await vault.destroy(PATH)
    await vault.destroy(PATH)
    assert await vault.read(PATH) is None
    assert await vault.read(PATH, 1) is None
    assert await vault.read_with_cas(PATH) == (None, 0)
    assert await vault.versions(PATH) == ()
    assert await vault.write(PATH, {"key": SECRET}, cas=0) == 1


async def test_a_version_deleted_by_hand_is_not_read_and_its_number_is_still_what_cas_compares(vault, vault_mount):
    await vault.write(PATH, {"key": SECRET}, cas=0)
    await vault_mount.openbao.request("DELETE", f"{vault_mount.path}/data/{PATH}")
    assert await vault.read(PATH) is None
    assert await vault.versions(PATH) == ()
    assert await vault.read_with_cas(PATH) == (None, 1)
    assert await vault.write(PATH, {"key": SECRET}, cas=1) == 2


async def test_a_version_destroyed_by_hand_likewise(vault, vault_mount):
    await vault.write(PATH, {"key": SECRET}, cas=0)
    await vault_mount.openbao.request("PUT", f"{vault_mount.path}/destroy/{PATH}", {"versions": [1]})
    assert await vault.read_with_cas(PATH) == (None, 1)
    assert await vault.write(PATH, {"key": SECRET}, cas=1) == 2


@pytest.mark.parametrize("path", [PATH, pending_key_path(uuid4()), acme_account_path("https://ca.example/dir")])
async def test_controls_policy_is_enough_for_every_path_of_control(vault, path):
    await vault.write(path, {"key": SECRET}, cas=0)
    assert await vault.read(path) is not None
    await vault.destroy(path)


async def test_what_the_policy_does_not_allow_is_denied(vault):
    with pytest.raises(VaultDenied):
        await vault.read("somebody/else")


async def test_wrong_credentials_are_denied(vault_mount):
    vault = client(vault_mount, secret_id=lambda: "wrong")
    with pytest.raises(VaultDenied) as refused:
        await vault.read(PATH)
    assert "wrong" not in str(refused.value)
    vault.close()


async def test_a_secret_id_that_changed_is_read_at_the_next_login(vault_mount):
    answers = ["wrong"]
    vault = client(vault_mount, secret_id=lambda: answers[0])
    with pytest.raises(VaultDenied):
        await vault.read(PATH)
    answers[0] = vault_mount.control.secret_id
    assert await vault.read(PATH) is None
    vault.close()


@pytest.mark.parametrize("name", ["absent", "no text"])
async def test_a_secret_id_that_cannot_be_read_is_an_error_of_vault(vault_mount, tmp_path, name):
    (tmp_path / "no text").write_bytes(b"\xff\xfe")
    vault = client(vault_mount, secret_id=(tmp_path / name).read_text)
    with pytest.raises(VaultDenied, match="secret id"):
        await vault.read(PATH)
    vault.close()


async def test_a_token_that_was_revoked_is_replaced_by_a_new_login(vault, tokens):
    await vault.write(PATH, {"key": SECRET}, cas=0)
    await tokens.revoke()
    assert await vault.read(PATH) is not None


async def test_concurrent_calls_share_one_login(vault, tokens):
    await asyncio.gather(*(vault.read(PATH) for _ in range(10)))
    assert len(await tokens.given()) == 1
    await tokens.revoke()
    await asyncio.gather(*(vault.read(PATH) for _ in range(10)))
    assert len(await tokens.given()) == 1


async def test_a_token_is_renewed_when_two_thirds_of_its_life_are_over_and_replaced_after_it(vault_mount, tokens):
    clock = [0.0]
    vault = client(vault_mount, now=lambda: clock[0])
    await vault.read(PATH)
    (token,) = await tokens.given()
    clock[0] += 3600 * 0.5
    await vault.read(PATH)
    assert "last_renewal_time" not in await tokens.lookup(token)
    clock[0] += 3600 * 0.2
    await vault.read(PATH)
    assert await tokens.given() == {token}
    assert (await tokens.lookup(token))["last_renewal_time"] > 0
    clock[0] += 3600 * 2
    await vault.read(PATH)
    assert len(await tokens.given()) == 2
    vault.close()


async def test_sealed_it_is_unavailable_and_unsealed_the_same_client_goes_on(state_dir):
    async with OpenBao.start(state_dir) as openbao:
        mount = await VaultMount.create(openbao, "secret")
        vault = client(mount)
        await vault.write(PATH, {"key": SECRET}, cas=0)
        await openbao.seal()
        for call in (vault.read(PATH), vault.write(PATH, {}, cas=1), vault.destroy(PATH), vault.versions(PATH)):
            with pytest.raises(VaultUnavailable):
                await call
        await openbao.unseal()
        assert await vault.read(PATH) == ({"key": SECRET}, 1)
        vault.close()


async def test_nobody_listening_is_unavailable(vault_mount):
    vault = client(vault_mount, address=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(VaultUnavailable):
        await vault.read(PATH)
    vault.close()


async def test_a_server_that_accepts_and_says_nothing_is_unavailable_by_the_deadline(vault_mount):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        vault = client(vault_mount, address=f"http://127.0.0.1:{silent.getsockname()[1]}", deadline=0.3)
        with pytest.raises(VaultUnavailable):
            await vault.read(PATH)
        vault.close()


async def test_what_is_not_vault_is_unavailable(vault_mount, pki):
    """An HTTP server that answers with JSON of its own."""
    vault = client(vault_mount, address=f"{vault_mount.url}/v1/pki/acme/directory?")
    with pytest.raises(VaultError):
        await vault.read(PATH)
    vault.close()


async def test_no_error_and_no_repr_shows_what_was_sent_or_read(vault, vault_mount):
    await vault.write(PATH, {"key": SECRET}, cas=0)
    assert SECRET not in repr(await vault.read(PATH))
    with pytest.raises(VaultConflict) as conflict:
        await vault.write(PATH, {"key": SECRET}, cas=0)
    with pytest.raises(VaultDenied) as denied:
        await vault.write("somebody/else", {"key": SECRET}, cas=0)
    _, secret_id = vault_mount.control
    for caught in (conflict, denied):
        text = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
        assert SECRET not in text
        assert secret_id not in text


async def test_control_changes_neither_the_operators_binding_nor_forgets_a_checkpoint(vault: Vault) -> None:
    with pytest.raises(VaultDenied):
        await vault.write(eab_path("https://ca.test/directory"), {"key_id": "mine"}, cas=0)
    with pytest.raises(VaultDenied):
        await vault.destroy(AUDIT_CHECKPOINT)
