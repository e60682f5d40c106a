"""What the doctor finds wrong with Vault, on a real OpenBao."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scenes import doctored
from scenes.doctored import codes, one
from scenes.hierarchy import DAY, NOW, issue

from core.vault import DEFAULT_CERTIFICATE, control_policy
from embedded.openbao import OpenBao
from embedded.ports import LOOPBACK
from embedded.vault_mount import VaultMount

Environment = dict[str, str]


async def vault(environment: Environment) -> Any:
    return await doctored.control(environment, "Vault")


async def test_a_vault_that_is_away_sealed_or_something_else_is_found(
    environment: Environment, state_dir: Path, dns_server: Any
) -> None:
    findings = await vault({**environment, "NAMEPLATE_VAULT_ADDR": f"http://{LOOPBACK}:1"})
    assert one(findings, "vault_unreachable").mend.startswith("check NAMEPLATE_VAULT_ADDR")
    async with OpenBao.start(state_dir) as openbao:
        await openbao.seal()
        findings = await vault({**environment, "NAMEPLATE_VAULT_ADDR": openbao.url})
    assert one(findings, "vault_sealed").mend == "vault operator unseal"


async def test_a_login_that_is_refused_or_cannot_be_read_is_found(environment: Environment, tmp_path: Path) -> None:
    findings = await vault({**environment, "NAMEPLATE_VAULT_SECRET_ID": "hunter2"})
    assert one(findings, "vault_login_refused").mend.startswith("check NAMEPLATE_VAULT_ROLE_ID and …_SECRET_ID")
    assert "hunter2" not in str(findings)
    del environment["NAMEPLATE_VAULT_ROLE_ID"], environment["NAMEPLATE_VAULT_SECRET_ID"]
    file = tmp_path / "token"
    environment["NAMEPLATE_VAULT_TOKEN_FILE"] = str(file)
    findings = await vault(environment)
    assert one(findings, "vault_login_unreadable").mend == "check NAMEPLATE_VAULT_TOKEN_FILE"
    file.write_text("hunter2")
    findings = await vault(environment)
    assert one(findings, "vault_login_refused").seen == "the token of the file is refused"
    assert "hunter2" not in str(findings)


async def test_a_token_of_a_file_that_ends_soon_is_found_and_left_alive(
    environment: Environment, vault_mount: VaultMount, tmp_path: Path
) -> None:
    body = {"policies": [f"{vault_mount.path}-control"], "ttl": "10m"}
    token = (await vault_mount.openbao.request("POST", "auth/token/create", body))["auth"]["client_token"]
    (tmp_path / "token").write_text(token)
    del environment["NAMEPLATE_VAULT_ROLE_ID"], environment["NAMEPLATE_VAULT_SECRET_ID"]
    environment["NAMEPLATE_VAULT_TOKEN_FILE"] = str(tmp_path / "token")
    findings = await vault(environment)
    assert codes(findings) == {"vault_token_ends"}
    assert "Vault Agent" in one(findings, "vault_token_ends").mend
    assert await vault_mount.openbao.request("POST", "auth/token/lookup", {"token": token})


async def test_the_doctor_leaves_no_token_behind(environment: Environment, vault_mount: VaultMount) -> None:
    before = (await vault_mount.openbao.request("LIST", "auth/token/accessors"))["data"]["keys"]
    await vault(environment)
    assert (await vault_mount.openbao.request("LIST", "auth/token/accessors"))["data"]["keys"] == before


async def test_a_mount_that_is_missing_or_not_version_2_is_found(
    environment: Environment, vault_mount: VaultMount
) -> None:
    findings = await vault({**environment, "NAMEPLATE_VAULT_MOUNT": "nowhere"})
    assert one(findings, "vault_mount_missing").mend == "vault secrets enable -version=2 -path=nowhere kv"
    old = f"{vault_mount.path}-old"
    request = vault_mount.openbao.request
    await request("POST", f"sys/mounts/{old}", {"type": "kv", "options": {"version": "1"}})
    policy = f'{control_policy(vault_mount.path)}\npath "{old}/*" {{ capabilities = ["read"] }}'
    await vault_mount.openbao.write_policy(f"{vault_mount.path}-control", policy)
    findings = await vault({**environment, "NAMEPLATE_VAULT_MOUNT": old})
    assert one(findings, "vault_mount_version").mend == f"vault kv enable-versioning {old}"
    await vault_mount.openbao.unmount(old)


@pytest.mark.parametrize(
    ("old", "new", "code", "seen"),
    [
        ('"create", "read", "update"', '"read"', "vault_policy_short", "no create, update at {}/data/nameplate/doctor"),
        (
            'path "{}/metadata/nameplate/*"',
            'path "{}/metadata/*"',
            "vault_policy_wide",
            "read at {}/metadata/somebody-",
        ),
        ('path "{}/data/nameplate/*"', 'path "+/*"', "vault_policy_wide", "create, read, update at sys/policies/acl"),
    ],
)
async def test_a_policy_that_allows_too_little_or_too_much_is_found(
    environment: Environment, vault_mount: VaultMount, old: str, new: str, code: str, seen: str
) -> None:
    mount = vault_mount.path
    policy = control_policy(mount).replace(old.format(mount), new.format(mount))
    assert policy != control_policy(mount)
    await vault_mount.openbao.write_policy(f"{mount}-control", policy)
    findings = [finding for finding in await vault(environment) if finding.code == code]
    assert any(seen.format(mount) in finding.seen for finding in findings), findings
    assert findings[0].mend == (
        f"nameplate vault-policy control --mount={mount} | vault policy write nameplate-control -"
    )


async def test_a_root_token_is_found(environment: Environment, vault_mount: VaultMount, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(vault_mount.openbao.root_token)
    del environment["NAMEPLATE_VAULT_ROLE_ID"], environment["NAMEPLATE_VAULT_SECRET_ID"]
    environment["NAMEPLATE_VAULT_TOKEN_FILE"] = str(tmp_path / "token")
    findings = await vault(environment)
    assert one(findings, "vault_policy_wide").seen == "the token is root's"
    assert vault_mount.openbao.root_token not in str(findings)


async def test_a_platform_certificate_that_is_missing_over_or_no_certificate_is_found(
    environment: Environment, vault_mount: VaultMount
) -> None:
    path = f"{vault_mount.path}/data/{DEFAULT_CERTIFICATE}"
    over = issue("*.platform.test", end=NOW + DAY)
    for data in ({"chain": over.pem, "key": over.key_pem}, {"chain": "x", "key": "y"}, {"chain": over.pem, "key": ""}):
        await vault_mount.openbao.request("POST", path, {"data": data})
        assert "chain=@chain.pem" in one(await vault(environment), "platform_certificate_over").mend
    await vault_mount.openbao.request("DELETE", f"{vault_mount.path}/metadata/{DEFAULT_CERTIFICATE}")
    finding = one(await vault(environment), "platform_certificate_missing")
    assert finding.mend == f"vault kv put -mount={vault_mount.path} {DEFAULT_CERTIFICATE} chain=@chain.pem key=@key.pem"
