"""What an operator does by hand before the first tenant comes."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from core import vault
from embedded.openbao import OpenBao
from embedded.pki import Pki
from embedded.plain_http import plain_http
from embedded.ports import LOOPBACK
from embedded.process import ServerFailed, run


def command(name: str) -> list[str]:
    return [sys.executable, "-m", "cli", name]


async def store_default_certificate(openbao: OpenBao, pki: Pki, platform: str, mount: str) -> None:
    """The platform's own wildcard certificate."""
    certificate = await pki.issue([f"*.{platform}", platform])
    await openbao.request(
        "POST",
        f"{mount}/data/{vault.DEFAULT_CERTIFICATE}",
        {"data": {"chain": certificate.chain_pem, "key": certificate.key_pem}},
    )


async def migrate(dsn: str) -> None:
    await run(command("migrate"), env={"NAMEPLATE_OWNER_DATABASE_URL": dsn})


async def put_default_service(api_url: str, token: str, ports: Sequence[int]) -> None:
    """The upstreams on loopback that requests go to unless their tenant or domain says otherwise."""
    addresses = [{"host": LOOPBACK, "port": port} for port in ports]
    async with plain_http(headers={"Authorization": f"Bearer {token}"}) as client:
        answer = await client.put(f"{api_url}/admin/services/default", json={"addresses": addresses})
    if not answer.is_success:
        raise ServerFailed(f"the service was not taken: {answer.status_code} {answer.text}")


async def bootstrap(sidecar_environment: Mapping[str, str]) -> str:
    """An Envoy's whole configuration, by the settings of its sidecar."""
    options = ["--node-id", "edge-1", "--admin", f"{LOOPBACK}:0", "--connections", "10000"]
    return await run([*command("bootstrap"), *options], env=sidecar_environment)
