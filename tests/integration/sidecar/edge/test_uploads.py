"""A tenant's own certificate at a real Envoy, under load: put, replaced, withdrawn, run out, and no visitor notices."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from scenes import edge as edges
from scenes.edge import Edge
from scenes.handshakes import Refused, fingerprint
from scenes.hierarchy import Issued
from scenes.load import load
from scenes.uploads import ROOT_PEM, VERIFY_TTL, chain, leaf, vault_of, wire

from api.auth import Principal
from control.certificates.propagation import Propagation
from control.uploads.activation import Activation
from control.uploads.endings import Endings
from control.uploads.tenant import TenantUploads

Eventually = Callable[..., Awaitable[Any]]
SHOP = "shop.mybrand.test"
REPLACEMENTS = 10
RSA = rsa.generate_private_key(65537, 2048)


@asynccontextmanager
async def offered(edge: Edge) -> AsyncIterator[TenantUploads]:
    wiring = wire(edge.database, edge.mount)
    vault = vault_of(wiring)
    async with asyncpg.create_pool(wiring["api_dsn"], min_size=0, max_size=4) as pool:
        yield TenantUploads(pool, vault, VERIFY_TTL)
    vault.close()


def print_of(pair: Issued) -> str:
    return pair.certificate.fingerprint(hashes.SHA256()).hex()


async def serves(edge: Edge, host: str, expected: str, eventually: Eventually) -> None:
    async def same() -> bool:
        try:
            return await fingerprint(edge.https_port, host) == expected
        except Refused:
            return False

    await eventually(same, timeout=20)


async def test_no_visitor_notices_an_upload_its_replacements_its_withdrawal_and_its_end(
    edge: Edge, eventually: Eventually
) -> None:
    await edge.add_default_certificate()
    tenant = await edge.add_tenant("acme")
    domain_id = await edge.add_domain(tenant, SHOP)
    caller = Principal(tenant, "alice")
    async with edges.serve(edge), offered(edge) as uploads:
        managed = await fingerprint(edge.https_port, SHOP)

        async def put(host: str = SHOP, key: Any = None) -> Issued:
            pair = leaf(host, key=key)
            await uploads.put(caller, domain_id, chain(pair), pair.key_pem)
            await serves(edge, host, print_of(pair), eventually)
            return pair

        async with load(edge.https_port, f"{edge.pki.root_pem}\n{ROOT_PEM}", [SHOP], eventually) as visitors:
            await visitors.begin("upload")
            await put()
            await visitors.served(50)
            await visitors.begin("replacements")
            for number in range(REPLACEMENTS):
                await put(key=RSA if number % 2 else None)  # another kind of key each time
                await visitors.served(20)
            await visitors.begin("withdrawal")
            await uploads.delete(caller, domain_id)
            await serves(edge, SHOP, managed, eventually)
            await visitors.served(50)
            await visitors.begin("end")
            pair = await put()
            await run_out(edge, pair)
            await serves(edge, SHOP, managed, eventually)
            await visitors.served(50)
            assert visitors.failures() == {}
        metrics = await edge.metrics()
        assert not [name for name, value in metrics.items() if "reject" in name and value]


async def run_out(edge: Edge, pair: Issued) -> None:
    """As control does it at the certificate's end, which is a while off for the sidecar and Envoy."""
    async with asyncpg.create_pool(edge.database.control_dsn, min_size=0, max_size=2) as pool:
        await pool.execute("UPDATE certificates SET not_after = now() + interval '2 years'")  # managed: lasts longer
        end = pair.certificate.not_valid_after_utc - timedelta(minutes=30)
        assert await Endings(pool, "control:test", lambda: end).round() == 1


async def test_a_proven_domain_is_served_with_its_upload_alone_and_a_wildcard_too(
    edge: Edge, eventually: Eventually
) -> None:
    await edge.add_default_certificate()
    tenant = await edge.add_tenant("acme")
    caller = Principal(tenant, "alice")
    hosts = {"soon.test": "soon.test", "*.wild.test": "any.wild.test"}
    ids: dict[str, UUID] = {row: await edge.add_pending_domain(tenant, row) for row in hosts}
    async with edges.serve(edge), offered(edge) as uploads:
        for host in hosts.values():
            with pytest.raises(Refused):
                await fingerprint(edge.https_port, host)
        for row, domain_id in ids.items():
            pair = leaf(row)
            await uploads.put(caller, domain_id, chain(pair), pair.key_pem)
            await serves(edge, hosts[row], print_of(pair), eventually)
        async with asyncpg.create_pool(edge.database.control_dsn, min_size=0, max_size=2) as pool:
            activation = Activation(pool, Propagation(), "control:test", timedelta(seconds=0.1))
            assert await activation.round() == 2
        browser_trust = f"{edge.pki.root_pem}\n{ROOT_PEM}"
        async with load(edge.https_port, browser_trust, list(hosts.values()), eventually, staying=2, coming=2) as load_:
            await load_.served(40)
            assert load_.failures() == {}
