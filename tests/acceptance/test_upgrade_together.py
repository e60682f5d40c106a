"""The last release's processes beside the present ones, on one schema: docs/upgrade.md, the steps in which both run."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from scenes import released
from scenes.play import Play, tenants_seen

from demo.customer import Customer
from embedded import operator
from embedded.browser import HandshakeRefused
from embedded.envoy import Envoy
from embedded.operator import command
from embedded.ports import LOOPBACK, free_ports
from embedded.process import Process
from embedded.stack import Stack, answers

Eventually = Callable[..., Awaitable[Any]]
MANY = 24  # domains, of which two replicas should have taken some each


@pytest.fixture
async def old_control(stack: Stack, tree: Path, number: int) -> AsyncIterator[tuple[Process, str]]:
    """A replica of the release, beside the present one, on the present schema; and where its API is."""
    (port,) = free_ports(1)
    process = await stack.start_control(
        f"released{number}", NAMEPLATE_API_LISTEN=f"{LOOPBACK}:{port}", **released.environment(tree)
    )
    try:
        yield process, f"http://{LOOPBACK}:{port}/api/v1/"
    finally:
        await process.stop(20)


async def test_control_of_both_releases_share_the_work_and_lose_none(
    play: Play, old_control: tuple[Process, str], eventually: Eventually
) -> None:
    """Domains are added at both, and both work on them. The old one ends in the midst of that, as when it is rolled."""
    process, url = old_control
    assert play.stack.control is not None
    replicas = {replica_of(process), replica_of(play.stack.control)}
    added: dict[str, tuple[str, Customer]] = {}
    async with httpx.AsyncClient(base_url=url, timeout=30.0, trust_env=False) as http:

        async def add(count: int) -> list[str]:
            """Of a new tenant, at the one and the other replica in turn; ids. All are seen by the other one."""
            owner = play.customer()
            elsewhere = Customer("tenant", owner.tenant_id, owner.token, http)
            for index in range(count):
                here, there = (owner, elsewhere) if index % 2 else (elsewhere, owner)
                hostname = f"n{len(added)}.{play.zone}"
                body = await here.register(hostname)
                assert (await there.detail(body["id"]))["hostname"] == hostname
                await play.publish(body)
                added[body["id"]] = hostname, owner
            return list(added)[-count:]

        async def activated(domains: list[str]) -> None:
            for domain in domains:
                await play.until_active(added[domain][1], domain)

        await activated(await add(2))
        while await workers(play.stack, list(added)) != replicas:  # which of them takes a job is chance
            assert len(added) < MANY, "one of the two works on nothing"
            await activated(await add(2))
        under_way = await add(4)
    assert await process.stop(20) == 0
    await activated(under_way)
    for hostname, owner in added.values():
        assert tenants_seen(await play.visit(hostname)) == [str(owner.tenant_id)]
    connection = await asyncpg.connect(play.stack.dsn())
    try:
        left = await connection.fetchval(
            "SELECT count(*) FROM jobs WHERE domain_id = ANY ($1::uuid[]) AND kind IN ('verify', 'obtain')", list(added)
        )
    finally:
        await connection.close()
    assert left == 0
    assert "Traceback" not in process.log_path.read_text()


async def test_what_the_new_release_has_paused_the_old_one_shows_resumes_and_deletes(
    play: Play, old_control: tuple[Process, str]
) -> None:
    """`pause` is new: the old one takes it for one after failures."""
    _, old = old_control
    owner = play.customer()
    body = await play.active(owner, f"shop.{play.zone}")
    path = f"domains/{body['id']}"
    headers = {"Authorization": f"Bearer {owner.token}"}

    async def ask(base: str, method: str, what: str = path) -> httpx.Response:
        """On a connection of its own: a fault closes it."""
        async with httpx.AsyncClient(timeout=30.0, trust_env=False, headers=headers) as http:
            return await http.request(method, f"{base.rstrip('/')}/{what}")

    new = play.stack.api_url
    paused = await ask(new, "POST", f"{path}/pause")
    assert paused.json()["sslStatus"] == "paused", paused.text
    shown = await ask(old, "GET")
    assert (shown.status_code, shown.json()["sslStatus"]) == (200, "paused")
    listed = await ask(old, "GET", "domains")
    assert [each["sslStatus"] for each in listed.json()["data"]] == ["paused"]
    resumed = await ask(new, "POST", f"{path}/resume")
    assert (resumed.status_code, resumed.json()["sslStatus"]) == (202, "issued"), resumed.text

    other = f"domains/{(await play.active(owner, f'other.{play.zone}'))['id']}"
    assert (await ask(new, "POST", f"{other}/pause")).json()["sslStatus"] == "paused"
    resumed = await ask(old, "POST", f"{other}/resume")
    assert (resumed.status_code, resumed.json()["sslStatus"]) == (202, "error"), resumed.text
    assert (await ask(old, "DELETE", other)).status_code == 204
    assert (await ask(new, "GET", other)).status_code == 404


def replica_of(control: Process) -> str:
    """As it signs what it does."""
    lines = [json.loads(line) for line in control.log_path.read_text().splitlines() if '"control_starting"' in line]
    return f"control:{lines[-1]['replica']}"


async def workers(stack: Stack, domains: list[str]) -> set[str]:
    """Who has done something for the domains, by the audit log."""
    connection = await asyncpg.connect(stack.dsn())
    try:
        rows = await connection.fetch("SELECT DISTINCT actor FROM audit WHERE domain_id = ANY ($1::uuid[])", domains)
    finally:
        await connection.close()
    return {row["actor"] for row in rows if row["actor"].startswith("control:")}


@pytest.fixture
async def old_edge(stack: Stack, tree: Path, number: int) -> AsyncIterator[tuple[Process, int]]:
    """A sidecar of the release with an Envoy that it configures, beside the present ones; and Envoy's TLS port."""
    home = stack.home / f"released{number}"
    home.mkdir(mode=0o700)
    for folder in ("run", "state"):
        (home / folder).mkdir(mode=0o700)
    admin, plain, https = free_ports(3)
    environment = {
        **stack.sidecar_environment,
        **released.environment(tree),
        "NAMEPLATE_SIDECAR_ID": f"released{number}",
        "NAMEPLATE_CHECK_ADDRESS": f"unix:{home}/run/check.sock",
        "NAMEPLATE_XDS_ADDRESS": f"unix:{home}/run/xds.sock",
        "NAMEPLATE_ADMIN_LISTEN": f"{LOOPBACK}:{admin}",
        "NAMEPLATE_STATE_DIR": str(home / "state"),
        "NAMEPLATE_HTTP_PORT": str(plain),
        "NAMEPLATE_HTTPS_PORT": str(https),
        "NAMEPLATE_ACCESS_LOG": str(home / "access.log"),
    }
    process = await Process.start(
        "released sidecar",
        command("sidecar"),
        log_path=home / "sidecar.log",
        ready=answers(f"http://{LOOPBACK}:{admin}/readyz"),
        env=environment,
    )
    try:
        async with Envoy.start(home, await operator.bootstrap(environment)):
            yield process, https
    finally:
        await process.stop(20)


async def test_what_control_does_arrives_at_a_sidecar_of_the_release(
    play: Play, old_edge: tuple[Process, int], eventually: Eventually
) -> None:
    """The usual order: control is upgraded before the sidecars."""
    process, port = old_edge
    owner = play.customer()
    host = f"shop.{play.zone}"
    body = await play.active(owner, host)

    async def page() -> list[str]:
        try:
            return tenants_seen(await play.stack.browser.get(host, port))
        except HandshakeRefused:
            return []

    async def is_served() -> bool:
        return await page() == [str(owner.tenant_id)]

    async def is_refused() -> bool:
        return await page() == []

    await eventually(is_served, timeout=20)
    await owner.delete(body["id"])
    await eventually(is_refused, timeout=20)
    assert "Traceback" not in process.log_path.read_text()
