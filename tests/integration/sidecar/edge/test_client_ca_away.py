"""A domain asks for client certificates while what Envoy needs for that does not come: nobody gets in meanwhile."""

from __future__ import annotations

import asyncio
import sys
import time
from urllib.parse import urlsplit

import pytest
from scenes import bare
from scenes.gate import REFUSED, ROOT, STRANGER, Gate

from embedded.proxy import Proxy

# A sidecar that cannot give the authorities of any domain as long as a file is there.
WITHOUT_AUTHORITIES = """
import sys
from pathlib import Path
from sidecar.process import main
from sidecar.xds.resolver import Failed, Outcome, Resolver

known = Resolver._known_to_edge

def withheld(self, name, held):
    if name.startswith("client-ca/") and Path(sys.argv[1]).exists():
        return Failed(Outcome.UNAVAILABLE)
    return known(self, name, held)

Resolver._known_to_edge = withheld
sys.exit(main())
"""
# Seconds that a client may have to wait for its refusal.
PATIENCE = 15


async def visits(gate: Gate, host: str) -> set[int]:
    """With a good certificate, a stranger's and none, at once, over connections of their own."""
    started = time.monotonic()
    seen = set(await asyncio.gather(*(gate.status(host, leaf) for leaf in (None, ROOT.issue(), STRANGER))))
    assert time.monotonic() - started < PATIENCE
    return seen


@pytest.fixture
async def tenant(edge):
    await edge.add_default_certificate()
    tenant = await edge.add_tenant("acme")
    await edge.add_domain(tenant, "shop.test")
    return tenant


async def test_until_the_authorities_are_there_nobody_gets_in(edge, tenant, eventually):
    withheld = edge.home / "withheld"
    withheld.touch()
    edge.command = (sys.executable, "-c", WITHOUT_AUTHORITIES, str(withheld))
    async with bare.serve(edge):
        gate = Gate(edge, tenant, "request")
        host, domain = await gate.domain()
        await eventually(lambda: gate.is_known(host), timeout=15)
        await gate.ask_for(domain)
        await eventually(lambda: has_chain(edge, domain), timeout=15)
        before = edge.upstream.requests
        seen: set[int] = set()

        async def is_shut() -> bool:
            """Envoy has stopped waiting for the authorities: until then the chain of all serves the name."""
            now = await visits(gate, host)
            seen.update(now)
            return now == {REFUSED}

        await eventually(is_shut, timeout=15)
        seen |= await visits(gate, host)
        assert seen <= {421, REFUSED}
        assert edge.upstream.requests == before
        assert await gate.status("shop.test") == 200

        withheld.unlink()
        leaf = ROOT.issue()
        await eventually(lambda: is_served(gate, host, leaf), timeout=30)
        assert await gate.status(host) == REFUSED


async def test_while_vault_hangs_nobody_gets_in(edge, tenant, eventually, vault_mount):
    address = urlsplit(edge.environment["NAMEPLATE_VAULT_ADDR"])
    async with Proxy.start((address.hostname, address.port)) as vault:
        edge.environment["NAMEPLATE_VAULT_ADDR"] = f"http://127.0.0.1:{vault.port}"
        async with bare.serve(edge):
            gate = Gate(edge, tenant, "request")
            assert await gate.status("shop.test") == 200
            vault.stall()
            host, domain = await gate.domain()
            await eventually(lambda: gate.is_known(host), timeout=15)
            await gate.ask_for(domain)
            await eventually(lambda: has_chain(edge, domain), timeout=15)
            before = edge.upstream.requests
            assert await visits(gate, host) <= {421, REFUSED}
            assert edge.upstream.requests == before
            assert await gate.status("shop.test") == 200

            vault.restore()
            leaf = ROOT.issue()
            await eventually(lambda: is_served(gate, host, leaf), timeout=30)
            assert await gate.status(host) == REFUSED


async def has_chain(edge, domain) -> bool:
    dump = await edge.envoy.admin("GET", "/config_dump?resource=dynamic_listeners")
    return f"client/{domain}" in dump.text


async def is_served(gate: Gate, host: str, leaf) -> bool:
    return await gate.status(host, leaf) == 200
