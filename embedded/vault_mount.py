"""A KV v2 mount in an embedded OpenBao with our two AppRoles, as an operator would set it up."""

from __future__ import annotations

from dataclasses import dataclass

from core.vault import control_policy, sidecar_policy
from embedded.openbao import AppRoleCredentials, OpenBao


@dataclass(frozen=True, slots=True)
class VaultMount:
    """Where the keys are, and with what control and the sidecar log in."""

    openbao: OpenBao
    path: str
    control: AppRoleCredentials
    sidecar: AppRoleCredentials

    @classmethod
    async def create(cls, openbao: OpenBao, path: str) -> VaultMount:
        """Mount, write both policies, and make both AppRoles (named after the mount)."""
        async with openbao.connected() as connected:
            await connected.mount_kv(path)
            await connected.write_policy(f"{path}-control", control_policy(path))
            await connected.write_policy(f"{path}-sidecar", sidecar_policy(path))
            control = await connected.approle(f"{path}-control", [f"{path}-control"])
            sidecar = await connected.approle(f"{path}-sidecar", [f"{path}-sidecar"])
        return cls(openbao, path, control, sidecar)

    async def remove(self) -> None:
        """Remove the mount with everything in it, the AppRoles and the policies."""
        async with self.openbao.connected() as connected:
            await connected.unmount(self.path)
            for process in ("control", "sidecar"):
                await connected.delete_approle(f"{self.path}-{process}")
                await connected.delete_policy(f"{self.path}-{process}")

    @property
    def url(self) -> str:
        """Vault's address, without `/v1`."""
        return self.openbao.url

    async def read_count(self) -> int:
        """How many reads reached this mount, by anyone."""
        return await self.openbao.read_count(self.path)
