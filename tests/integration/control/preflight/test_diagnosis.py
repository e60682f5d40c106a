"""The diagnosis on PostgreSQL, DNS and HTTP: tokens are answered by what PostgreSQL shows to a sidecar."""

from __future__ import annotations

import json

import asyncpg
import pytest
from scenes.preflight import CA, FACTS, HOST, NOW, PATIENCE, TARGET, V4, domain, response

from control.dns.ownership import Ownership
from control.dns.resolver import Resolver
from control.preflight.diagnosis import Diagnosis
from control.preflight.probe import PREFIX
from control.preflight.report import Challenge
from control.preflight.tokens import ProbeTokens
from core.domain import Domain


@pytest.fixture
async def sidecar(database, scene):
    """Answers as a sidecar does, in place of the platform's address."""
    async with asyncpg.create_pool(database.sidecar_dsn, min_size=0, max_size=4) as pool:

        async def answer(request):
            token = request.path.removeprefix(PREFIX)
            found = await pool.fetchval("SELECT key_authorization FROM challenges_v1 WHERE token = $1", token)
            return response("404 Not Found") if found is None else response("200 OK", found.encode())

        scene.answers[V4] = answer
        yield pool


@pytest.fixture
def diagnosis(pool, scene, sidecar):
    async def facts():
        return FACTS

    ownership = Ownership([Resolver(V4, scene.dns.port, PATIENCE / 3)], TARGET, lambda: NOW, PATIENCE)

    async def challenge(_domain: Domain) -> Challenge:
        return "http-01"

    return Diagnosis(scene.preflight(), ownership, ProbeTokens(pool), facts, challenge)


async def test_a_domain_where_all_is_well_is_said_to_be_so(scene, diagnosis, add_domain, pool):
    scene.dns.add(HOST, "A", V4)
    scene.dns.add(f"_platform-verify.{HOST}", "TXT", "verify-token")
    found = await diagnosis.diagnose(domain(id=await add_domain(HOST, status="verified")))
    assert [(one["check"], one["code"]) for one in found["checks"]] == [
        ("ownership", "txt_found"),
        ("dnssec", "dns_resolves"),
        ("addresses", "addresses_here"),
        ("port80", "port80_answers"),
        ("caa", "caa_permits"),
    ]
    assert found["ok"]
    assert found["usable"][0] == CA
    assert json.loads(json.dumps(found)) == found
    assert await pool.fetchval("SELECT count(*) FROM challenges") == 0


async def test_a_domain_that_is_not_proven_begins_with_that(scene, diagnosis, add_domain):
    scene.dns.add(HOST, "A", "192.0.2.7")
    row = domain(id=await add_domain(HOST), status="pending")
    report = await diagnosis.report(row)
    first = report.checks[0]
    assert (first.name, first.code, first.blocking, first.who) == ("ownership", "txt_name_missing", True, "tenant")
    assert first.expected == {"name": f"_platform-verify.{HOST}", "TXT": "verify-token"}
    assert report.finding(NOW).code == "txt_name_missing"
    assert report.finding(NOW).detail["also"] == ["addresses_elsewhere", "port80_address_forbidden"]


@pytest.mark.parametrize("status", ["active", "moved"])
async def test_a_proof_that_is_gone_blocks_no_proven_domain(scene, diagnosis, add_domain, status):
    scene.dns.add(HOST, "A", V4)
    report = await diagnosis.report(domain(id=await add_domain(HOST, status=status), status=status))
    assert not report.checks[0].ok
    assert report.ok


async def test_a_token_goes_with_its_block_whatever_ends_it(add_domain, pool):
    domain_id = await add_domain(HOST)
    with pytest.raises(RuntimeError, match="x"):
        async with ProbeTokens(pool).published(domain_id) as token:
            assert await pool.fetchval("SELECT token FROM challenges") == token.token
            raise RuntimeError("x")
    assert await pool.fetchval("SELECT count(*) FROM challenges") == 0
