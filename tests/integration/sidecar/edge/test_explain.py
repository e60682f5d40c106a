"""What the sidecar says would happen is what happens, and saying it changes nothing."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from scenes import edge as edges
from scenes.edge import PLATFORM, TEMPLATE, Edge

from embedded.background import Background
from embedded.database import Database
from embedded.openbao import OpenBao
from embedded.pki import Pki
from embedded.plain_http import plain_http
from embedded.ports import LOOPBACK
from embedded.vault_mount import VaultMount

TOKEN = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"
SHOP = "shop.mybrand.test"
# What the data path counts; other figures grow by themselves.
COUNTED = ("checks", "directory_lookups", "directory_load", "loads", "challenge_loads", "secret", "xds", "grpc")
COUNTERS = (*(f"nameplate_{name}" for name in COUNTED), "nameplate_certificate_fetch")


async def explain(edge: Edge, host: str, **more: str) -> dict[str, Any]:
    response = await ask(edge, host=host, **more)
    assert response.status_code == 200, response.text
    return response.json()


async def ask(edge: Edge, query: str = "", **parameters: str) -> httpx.Response:
    async with plain_http() as client:
        url = f"http://{LOOPBACK}:{edge.admin_port}/explain{query}"
        return await client.get(url, params=parameters or None, timeout=10)


async def counters(edge: Edge) -> dict[str, float]:
    return {name: value for name, value in (await edge.metrics()).items() if name.startswith(COUNTERS)}


async def run(*arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cli",
        "explain",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=TEMPLATE.parents[1],
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.fixture(scope="module")
def started(
    background: Background, session_dir: Path, database_template: Database, openbao: OpenBao, pki: Pki
) -> Iterator[Edge]:
    """acme has shop.mybrand.test, fresh.test, *.wild.test; zeta soon.test, not live, and lost.test, which Vault lost.

    Nobody asks for a certificate but by an explanation.
    """
    home = session_dir / "explain"
    home.mkdir(mode=0o711)
    servers = AsyncExitStack()

    async def build() -> Edge:
        database = await database_template.copy("explain")
        servers.push_async_callback(database.drop)
        mount = await VaultMount.create(openbao, "explain")
        servers.push_async_callback(mount.remove)
        edge = edges.create(home, database, mount, pki)
        await edge.add_default_certificate()
        acme, zeta = await edge.add_tenant("acme"), await edge.add_tenant("zeta")
        shop = await edge.add_domain(acme, SHOP)
        await edge.add_domain(acme, "fresh.test")
        await edge.add_domain(acme, "*.wild.test")
        await edge.add_pending_domain(zeta, "soon.test")
        lost = await edge.add_domain(zeta, "lost.test")
        await mount.openbao.request("DELETE", f"{mount.path}/metadata/nameplate/certs/{lost}")
        await edge.add_challenge(shop, TOKEN, f"{TOKEN}.thumbprint")
        await edge.start_sidecar()
        servers.push_async_callback(edge.stop_sidecar)
        return edge

    try:
        yield background.run(build())
    finally:
        background.run(servers.aclose())


async def test_a_live_name_would_be_served_and_nothing_is_read_for_saying_so(started):
    before = await counters(started)
    said = await explain(started, "SHOP.mybrand.test:443")
    assert (said["served"], said["why"]) == (True, [])
    assert said["asked"] == {"host": "SHOP.mybrand.test:443", "sni": SHOP, "path": "/", "load": False}
    row = said["row"]
    assert (row["match"], row["hostname"], row["live"]) == ("exact", SHOP, True)
    assert said["decisions"]["request"] == {"passes": True, "outcome": "ok", "tenant": row["tenant"], "row": SHOP}
    assert said["decisions"]["plain"]["location"] == f"https://{SHOP}/"
    assert said["decisions"]["connection"]["passes"] is True
    certificate = said["certificate"]
    assert (certificate["state"], certificate["source"], certificate["in_memory"]) == ("fetched", "managed", False)
    assert certificate["version"].endswith(".1")
    assert said["directory"]["complete"] is True
    assert (said["directory"]["stale"], said["directory"]["last_error"]) == (False, None)
    for host in ("x.wild.test", "nobody.test", "soon.test", f"acme.{PLATFORM}", "1.2.3.4", "lost.test"):
        await explain(started, host)
    await explain(started, SHOP, path=f"/.well-known/acme-challenge/{TOKEN}")
    await explain(started, SHOP, path="/.well-known/acme-challenge/unknown", sni="other.test")
    assert len(before) > 20
    assert await counters(started) == before


async def test_asked_to_it_loads_and_then_says_all_of_the_certificate(started):
    said = await explain(started, "fresh.test", load="1")
    certificate = said["certificate"]
    assert (certificate["state"], certificate["in_memory"], certificate["current"]) == ("served", True, True)
    assert certificate["names"] == ["fresh.test"]
    assert (await explain(started, "fresh.test"))["certificate"] == certificate
    everything = json.dumps(said)
    assert "PRIVATE" not in everything
    assert "BEGIN" not in everything


@pytest.mark.parametrize(
    ("host", "sni", "served", "match", "code"),
    [
        ("x.wild.test", None, True, "wildcard", None),
        ("a.b.wild.test", None, False, "absent", "not_configured"),
        ("nobody.test", None, False, "absent", "not_configured"),
        ("soon.test", None, False, "exact", "not_configured"),
        (f"acme.{PLATFORM}", None, True, "platform", None),
        (f"acme.{PLATFORM}", "", True, "platform", None),
        (f"nobody.{PLATFORM}", None, False, "absent", "not_configured"),
        (SHOP, "x.wild.test", False, "exact", "misdirected"),
        (SHOP, "", False, "exact", "misdirected"),
        ("x.wild.test", "y.wild.test", True, "wildcard", None),
        ("192.0.2.1", None, False, "invalid", "not_configured"),
        ("-.test", None, False, "invalid", "not_configured"),
    ],
)
async def test_the_answer_is_that_of_the_data_path(started, eventually, host, sni, served, match, code):
    async def platform_certificate_is_there():
        return (await explain(started, f"acme.{PLATFORM}"))["certificate"]["in_memory"]

    await eventually(platform_certificate_is_there)
    said = await explain(started, host, **({} if sni is None else {"sni": sni}))
    assert (said["served"], said["row"]["match"]) == (served, match), said
    assert [why["code"] for why in said["why"]][:1] == ([] if code is None else [code])
    assert all(why["message"] for why in said["why"])


async def test_a_certificate_that_cannot_be_had_says_why_also_when_its_failure_is_forgotten(started):
    said = await explain(started, "lost.test", load="1")
    assert (said["served"], said["certificate"]["state"]) == (False, "failed")
    assert said["certificate"]["last_failure"]["code"] == "vault_not_found"
    assert (await explain(started, "lost.test"))["why"][0]["code"] == "vault_not_found"


async def test_a_challenge_is_answered_without_saying_its_key_authorization(started):
    said = await explain(started, "nobody.test", path=f"/.well-known/acme-challenge/{TOKEN}")
    assert said["decisions"]["plain"] == {"passes": False, "outcome": "challenge", "status": 200}
    assert "thumbprint" not in json.dumps(said)
    said = await explain(started, "nobody.test", path="/.well-known/acme-challenge/unknown")
    assert said["decisions"]["plain"] == {"passes": None, "outcome": "pending", "needs": "the token"}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "missing_parameter"),
        ("?host=", "missing_parameter"),
        ("?host", "query_unreadable"),
        ("?host=a&host=b", "repeated_parameter"),
        ("?host=a&hosts=b", "unknown_parameter"),
        ("?host=a&load=yes", "parameter_too_long"),
        ("?host=a&load=2", "invalid_parameter"),
        ("?host=a&path=x", "invalid_parameter"),
        ("?host=" + "a" * 1001, "parameter_too_long"),
        ("?host=a&path=/" + "a" * 5000, "parameter_too_long"),
        ("?" + "&".join(["host=a"] * 20), "query_unreadable"),
        ("?host=" + "%61" * 11_000, "query_too_long"),
    ],
)
async def test_a_question_that_is_none_is_refused_with_its_reason(started, query, code):
    response = await ask(started, query)
    assert (response.status_code, response.json()["code"]) == (400, code)
    assert (await started.admin("/readyz")).status_code == 200


@pytest.mark.parametrize("host", ["%00", "%ff%fe", "%0d%0aX: y", "a%20b", "%F0%9F%98%80.test", "..", "*", "%1b[31m"])
async def test_any_host_has_an_answer(started, host):
    response = await ask(started, f"?host={host}&sni={host}&path=/{host}")
    assert response.status_code == 200
    assert response.json()["served"] is False


async def test_the_command_shows_it_and_its_exit_code_says_whether_it_is_served(started):
    sidecar = ("--sidecar", f"http://{LOOPBACK}:{started.admin_port}")
    code, out, _ = await run(SHOP, "--load", *sidecar)
    assert (code, out.splitlines()[0]) == (0, f"✓ {SHOP} would be served")
    assert "passes, as shop.mybrand.test" in out
    code, out, _ = await run("\x1b[31mnobody.test", *sidecar)
    assert code == 1
    assert "\x1b" not in out
    code, out, _ = await run("x.wild.test", "--sni", "", "--json", *sidecar)
    assert (code, json.loads(out)["why"][0]["code"]) == (1, "misdirected")
    code, _, err = await run("a" * 2000, *sidecar)
    assert (code, err) == (2, "nameplate: host is longer than 1000 characters. (parameter_too_long)\n")
    code, _, err = await run(SHOP, "--sidecar", f"http://{LOOPBACK}:1")
    assert code == 2
    assert "does not answer" in err
