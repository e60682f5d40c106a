"""Many operators at once, doing anything: each is told the truth, and what is left fits together."""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import Any
from uuid import UUID

import pytest
from scenes.hierarchy import Hierarchy, issue

from api.admin.upstreams import ChangedMeanwhile, InUse, NotThere, UnknownReference, Upstreams
from api.auth import Operator
from api.conditions import ALWAYS, PreconditionFailed
from api.service import Unavailable
from control.audit.verify import verify
from control.services.identities import sweep
from control.services.transactions import PLATFORM
from control.vault import Vault
from core.certificate import Certificate
from core.service import Address, Service, UpstreamTls
from core.trust import TrustBundle
from core.vault import identity_path

NAMES = ("a", "b", "default")
REFUSALS = (ChangedMeanwhile, InUse, NotThere, UnknownReference, PreconditionFailed, Unavailable)
OPERATORS, EACH = 8, 30


def pair() -> Certificate:
    made = Hierarchy.of("edge.platform.io")
    return Certificate.parse(made.chain, made.leaf.key_pem)


PAIRS = [pair() for _ in range(3)]
BUNDLES = [TrustBundle.parse(issue(f"Root {number}", ca=True).pem) for number in range(3)]


class Doing:
    """One operator."""

    def __init__(self, upstreams: Upstreams, tenants: list[UUID], random: Random, subject: str) -> None:
        self._all = upstreams
        self._tenants = tenants
        self._random = random
        self._caller = Operator(subject)

    def _service(self) -> Service:
        choose = self._random.choice
        names = (None, *NAMES)
        tls = choose([None, UpstreamTls("u.internal", ("u.internal",), choose(("system", *names)), choose(names))])
        return Service(choose(NAMES), (Address("10.0.0.7", self._random.randint(1, 3)),), tls=tls)

    async def anything(self) -> None:
        choose, caller, name = self._random.choice, self._caller, self._random.choice(NAMES)
        tenant = choose(self._tenants)
        calls = [
            lambda: self._all.services.put(caller, self._service(), ALWAYS),
            lambda: self._all.services.delete(caller, name, ALWAYS),
            lambda: self._all.trust.put(caller, name, choose(BUNDLES), ALWAYS),
            lambda: self._all.trust.delete(caller, name, ALWAYS),
            lambda: self._all.identities.put(caller, name, choose(PAIRS), ALWAYS),
            lambda: self._all.identities.delete(caller, name, ALWAYS),
            lambda: self._all.choices.put_tenant(caller, tenant, name),
            lambda: self._all.choices.delete_tenant(caller, tenant),
        ]
        try:
            await choose(calls)()
        except REFUSALS:
            return


@pytest.mark.parametrize("seed", [1, 2])
async def test_what_many_operators_leave_fits_together(
    pool: Any, vault: Vault, upstreams: Upstreams, seed: int
) -> None:
    tenants = [await pool.fetchval("INSERT INTO tenants (slug) VALUES ($1) RETURNING id", name) for name in ("x", "y")]
    random = Random(seed)
    doing = [Doing(upstreams, tenants, Random(random.random()), f"op{number}") for number in range(OPERATORS)]

    async def work(one: Doing) -> None:
        for _ in range(EACH):
            await one.anything()

    over = asyncio.Event()

    async def sweeping() -> None:
        while not over.is_set():
            await sweep(pool, vault, after=0)
            await asyncio.sleep(0)

    cleaner = asyncio.create_task(sweeping())
    await asyncio.gather(*(work(one) for one in doing))
    over.set()
    await cleaner

    trust = {row["name"] for row in await pool.fetch("SELECT name FROM trust_v1")}
    identities = await pool.fetch("SELECT name, fingerprint, vault_version FROM identities_v1")
    services = await pool.fetch("SELECT name, spec FROM services_v1")
    for row in services:
        service = Service.from_json(row["name"], json.loads(row["spec"]))
        if service.tls is not None:
            assert service.tls.trust == "system" or (service.tls.trust or "default") in trust
            assert service.tls.identity in {None, *(identity["name"] for identity in identities)}
    for identity in identities:
        secret = await vault.read(identity_path(identity["name"]), identity["vault_version"])
        assert secret is not None
        assert Certificate.from_vault(dict(secret.data)).fingerprint == identity["fingerprint"]
    chosen = {row["service"] for row in await pool.fetch("SELECT service FROM service_choices_v1")}
    assert chosen <= {row["name"] for row in services}
    async with pool.acquire() as connection:
        report = await verify(connection, None, PLATFORM)
    assert report.findings == []
    assert report.rows > OPERATORS


async def test_the_audit_tells_how_each_thing_came_to_be_as_it_is(pool: Any, upstreams: Upstreams) -> None:
    """The last row of each service is what it is now, whoever was faster."""
    operators = [Operator(f"op{number}") for number in range(6)]
    await asyncio.gather(
        *(
            upstreams.services.put(caller, Service("shop", (Address("10.0.0.7", port),)), ALWAYS)
            for port, caller in enumerate(operators, 1)
        )
    )
    last = await pool.fetchrow(
        "SELECT actor, detail FROM audit WHERE tenant_id = $1 ORDER BY id DESC LIMIT 1", PLATFORM
    )
    spec = json.loads(await pool.fetchval("SELECT spec FROM services"))
    assert json.loads(last["detail"])["spec"] == spec
    assert last["actor"] == f"operator:op{spec['addresses'][0]['port'] - 1}"
