from __future__ import annotations

from pathlib import Path

import pytest

from core.vault import DEFAULT_CERTIFICATE
from embedded.database import Database
from embedded.dns import DnsServer
from embedded.identity import IdentityProvider
from embedded.pebble import Pebble
from embedded.pki import Pki
from embedded.ports import LOOPBACK, free_port
from embedded.vault_mount import VaultMount


@pytest.fixture
async def vault_of_platform(vault_mount: VaultMount, pki: Pki) -> VaultMount:
    """With the platform's own certificate in it."""
    issued = await pki.issue(["*.platform.test"])
    await vault_mount.openbao.request(
        "POST",
        f"{vault_mount.path}/data/{DEFAULT_CERTIFICATE}",
        {"data": {"chain": issued.chain_pem, "key": issued.key_pem}},
    )
    return vault_mount


@pytest.fixture
def environment(
    database: Database,
    vault_of_platform: VaultMount,
    pebble: Pebble,
    dns_server: DnsServer,
    dns_zone,
    tmp_path: Path,
) -> dict[str, str]:
    """Of a control that nothing is wrong with."""
    (tmp_path / "jwks.json").write_text(IdentityProvider.create().jwks())
    for name in ("custom", "*.custom"):
        dns_zone.add(name, "A", LOOPBACK)
    mount = vault_of_platform
    return {
        "NAMEPLATE_CONTROL_DATABASE_URL": database.control_dsn,
        "NAMEPLATE_API_DATABASE_URL": database.api_dsn,
        "NAMEPLATE_API_LISTEN": f"{LOOPBACK}:{free_port()}",
        "NAMEPLATE_PLATFORM_DOMAIN": dns_zone.origin,
        "NAMEPLATE_DNS_RESOLVERS": dns_server.address,
        "NAMEPLATE_JWT_JWKS_FILE": str(tmp_path / "jwks.json"),
        "NAMEPLATE_JWT_ISSUER": "issuer",
        "NAMEPLATE_JWT_AUDIENCE": "audience",
        "NAMEPLATE_VAULT_ADDR": mount.url,
        "NAMEPLATE_VAULT_MOUNT": mount.path,
        "NAMEPLATE_VAULT_ROLE_ID": mount.control.role_id,
        "NAMEPLATE_VAULT_SECRET_ID": mount.control.secret_id,
        "NAMEPLATE_ACME_DIRECTORY_URL": pebble.directory_url,
        "NAMEPLATE_ACME_CA_FILE": str(pebble.ca_bundle),
    }
