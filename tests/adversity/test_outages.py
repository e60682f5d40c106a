"""What goes on when something is down, on the whole stack: DESIGN's table, row by row."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

import asyncpg
import httpx
import pytest
from scenes.play import Play, tenants_seen

from demo.customer import Customer
from embedded.plain_http import plain_http
from embedded.process import Process, children


async def readiness(play: Play) -> dict[str, Any]:
    async with plain_http() as http:
        response = await http.get(f"{play.stack.admin_url}/readyz")
        assert response.status_code == 200, response.text
        return dict(response.json())


async def served(play: Play, owner: Customer, hostname: str) -> bool:
    return tenants_seen(await play.visit(hostname)) == [str(owner.tenant_id)]


async def test_with_postgresql_down_live_names_go_on_unknown_names_are_refused_and_stale_is_said(play: Play) -> None:
    owner = play.customer()
    await play.active(owner, f"shop.{play.zone}")
    await play.stack.postgres.stop()
    try:
        assert await served(play, owner, f"shop.{play.zone}")
        assert await play.refused(f"nobody.{play.zone}")

        async def is_stale() -> bool:
            return bool((await readiness(play))["stale"])

        await play.eventually(is_stale, timeout=20)
        assert await served(play, owner, f"shop.{play.zone}")
        assert await play.refused(f"other.{play.zone}")
    finally:
        await play.stack.postgres.start_again()

    async def is_fresh() -> bool:
        return not (await readiness(play))["stale"]

    await play.eventually(is_fresh, timeout=20)
    await play.eventually(lambda: _api_is_ready(play), timeout=20)
    await play.active(owner, f"after.{play.zone}")


async def _api_is_ready(play: Play) -> bool:
    async with plain_http() as http:
        return (await http.get(f"http://127.0.0.1:{play.stack.api_port}/readyz")).status_code == 200


async def test_with_postgresql_down_the_api_says_so_and_when_to_come_back(play: Play) -> None:
    owner = play.customer()
    await play.stack.postgres.stop()
    try:
        response = await play.http.get("domains", headers={"Authorization": f"Bearer {owner.token}"})
        assert response.status_code == 503
        assert response.json()["code"] == "database_unavailable"
        assert int(response.headers["retry-after"]) > 0
    finally:
        await play.stack.postgres.start_again()
    await play.eventually(lambda: _api_is_ready(play), timeout=20)


async def test_a_sidecar_restarted_while_postgresql_is_down_serves_from_its_snapshot(play: Play) -> None:
    owner = play.customer()
    await play.active(owner, f"shop.{play.zone}")
    sidecar = play.stack.sidecar
    assert sidecar is not None
    await play.stack.postgres.stop()
    try:
        await sidecar.stop()
        await play.stack.start_sidecar()
        assert (await readiness(play))["stale"] is True
        await play.eventually(lambda: served_now(play, owner, f"shop.{play.zone}"))
        assert await play.refused(f"nobody.{play.zone}")
    finally:
        await play.stack.postgres.start_again()
    await play.eventually(lambda: _api_is_ready(play), timeout=20)
    await play.active(owner, f"after.{play.zone}")


async def test_a_killed_sidecar_serves_from_its_last_snapshot(play: Play) -> None:
    """SIGKILL: no snapshot is written at the end, so the one written as the domain changed must do."""
    owner = play.customer()
    body = await play.active(owner, f"shop.{play.zone}")

    def is_written() -> bool:
        """With its certificate: the domain may have been written before that was issued."""
        files = [file for file in (play.stack.home / "sidecar").iterdir() if file.is_file()]
        return any(bytes.fromhex(body["certificate"]["fingerprint"]) in file.read_bytes() for file in files)

    await play.eventually(is_written, timeout=30)
    killed = play.stack.sidecar_worker
    await play.stack.postgres.stop()
    try:
        os.kill(killed, signal.SIGKILL)
        await play.eventually(lambda: _another_answers(play, killed), timeout=20)
        await play.eventually(lambda: served_now(play, owner, f"shop.{play.zone}"))
    finally:
        await play.stack.postgres.start_again()
    await play.eventually(lambda: _api_is_ready(play), timeout=20)


async def _another_answers(play: Play, killed: int) -> bool:
    sidecar = play.stack.sidecar
    assert sidecar is not None
    if children(sidecar.pid) in ([], [killed]):
        return False
    async with plain_http() as http:
        try:
            return (await http.get(f"{play.stack.admin_url}/readyz")).status_code == 200
        except httpx.TransportError:
            return False


async def test_the_listeners_backends_are_terminated_and_no_change_is_missed(play: Play) -> None:
    owner = play.customer()
    bodies = [await play.active(owner, f"d{n}.{play.zone}") for n in range(3)]
    connection = await asyncpg.connect(play.stack.dsn())
    cut = 0
    try:
        for body in bodies:  # the later ones may be deleted while nobody has come back yet
            cut += await connection.fetchval(
                """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                   WHERE usename IN ('nameplate_sidecar', 'nameplate_control')"""
            )
            await owner.delete(body["id"])
    finally:
        await connection.close()
    assert cut > 0, "no backend was there to be terminated"
    for n in range(3):
        await play.eventually(lambda n=n: play.refused(f"d{n}.{play.zone}"), timeout=10)


async def test_with_vault_sealed_loaded_names_go_on_cold_ones_fail_cleanly_and_recover(play: Play) -> None:
    owner = play.customer()
    await play.active(owner, f"warm.{play.zone}")
    await play.active(owner, f"cold.{play.zone}")
    assert await served(play, owner, f"warm.{play.zone}")
    sidecar = play.stack.sidecar
    assert sidecar is not None
    await sidecar.stop()  # certificates are in memory only: after this every name is cold in the sidecar
    await play.stack.start_sidecar()
    await play.stack.openbao.seal()
    try:
        assert await served(play, owner, f"warm.{play.zone}"), "Envoy lost a certificate that it had"
        start = time.monotonic()
        assert await play.refused(f"cold.{play.zone}")
        assert time.monotonic() - start < 5
        assert await served(play, owner, f"warm.{play.zone}")
    finally:
        await play.stack.openbao.unseal()
    await play.eventually(lambda: served_now(play, owner, f"cold.{play.zone}"), timeout=20)


async def served_now(play: Play, owner: Customer, hostname: str) -> bool:
    return not await play.refused(hostname) and await served(play, owner, hostname)


async def test_with_vault_sealed_nothing_is_ordered_and_the_certificate_comes_afterwards(play: Play) -> None:
    owner = play.customer()
    await play.stack.openbao.seal()
    try:
        body = await owner.register(f"shop.{play.zone}")
        await play.publish(body)
        await play.verify_now(owner, body["id"])

        async def is_verified() -> bool:
            return (await owner.detail(body["id"]))["status"] == "verified"

        await play.eventually(is_verified, timeout=20)
        connection = await asyncpg.connect(play.stack.dsn())
        try:
            sent = await connection.fetchval(
                "SELECT count(*) FROM acme_orders WHERE domain_id = $1 AND order_url IS NOT NULL", body["id"]
            )
        finally:
            await connection.close()
        assert sent == 0
    finally:
        await play.stack.openbao.unseal()
    await play.until_active(owner, body["id"])


async def test_with_control_down_everything_is_served(play: Play) -> None:
    owner = play.customer()
    await play.active(owner, f"shop.{play.zone}")
    control = play.stack.control
    assert control is not None
    await control.stop()
    try:
        assert await served(play, owner, f"shop.{play.zone}")
        assert await play.refused(f"nobody.{play.zone}")
    finally:
        await play.stack.start_control()


@pytest.mark.parametrize(("silent", "seconds"), [(("CA",), 8), (("CA", "PostgreSQL"), 16)])
async def test_control_ends_cleanly_within_seconds_while_what_it_waits_for_is_silent(
    play: Play, time_scale: float, silent: tuple[str, ...], seconds: float
) -> None:
    control, pebble, postgres = play.stack.control, play.stack.pebble, play.stack.postgres
    assert control is not None
    assert pebble is not None
    owner = play.customer()
    body = await owner.register(f"shop.{play.zone}")
    await play.publish(body)
    stopped = [pebble.process.pid]
    os.kill(pebble.process.pid, signal.SIGSTOP)
    try:
        await play.verify_now(owner, body["id"])
        await play.eventually(lambda: _job_is_leased(play, body["id"]), timeout=20)
        if "PostgreSQL" in silent:
            stopped.append(postgres.pid)
            os.kill(postgres.pid, signal.SIGSTOP)
            for pid in children(postgres.pid):  # which now starts none, and reaps none that is about to end
                stopped.append(pid)
                os.kill(pid, signal.SIGSTOP)
        started = time.monotonic()
        control.signal(signal.SIGTERM)
        code = await asyncio.wait_for(control.wait(), 60)
        took = time.monotonic() - started
    finally:
        for pid in reversed(stopped):
            os.kill(pid, signal.SIGCONT)
    try:  # a PostgreSQL that was silent has not heard of the drain, and cuts connections as it wakes
        given_back = "PostgreSQL" in silent or not await _job_is_leased(play, body["id"])
    finally:
        await play.stack.start_control()
    assert code == 0
    assert took < seconds * time_scale
    assert given_back
    await play.until_active(owner, body["id"])


async def _job_is_leased(play: Play, domain_id: str) -> bool:
    connection = await asyncpg.connect(play.stack.dsn())
    try:
        return bool(
            await connection.fetchval(
                "SELECT lease_token IS NOT NULL FROM jobs WHERE domain_id = $1 AND kind = 'obtain'", domain_id
            )
        )
    finally:
        await connection.close()


async def test_with_the_sidecar_down_checks_fail_closed_and_come_back(play: Play) -> None:
    owner = play.customer()
    await play.active(owner, f"shop.{play.zone}")
    assert await served(play, owner, f"shop.{play.zone}")
    sidecar = play.stack.sidecar
    assert sidecar is not None
    await sidecar.stop()
    try:
        page = await play.visit(f"shop.{play.zone}", headers=[("x-tenant-id", "admin")])
        assert page.status == 503
    finally:
        await play.stack.start_sidecar()
    await play.eventually(lambda: served_now(play, owner, f"shop.{play.zone}"), timeout=10)


async def test_two_control_replicas_share_the_work_and_one_may_be_killed(play: Play, ports) -> None:
    owner = [play.customer() for _ in range(8)]
    second: Process = await play.stack.start_control("control-2", NAMEPLATE_API_LISTEN=f"127.0.0.1:{ports(1)[0]}")
    try:
        bodies = [await each.register(f"d{n}.{play.zone}") for n, each in enumerate(owner)]
        for body in bodies:
            await play.publish(body)
        waiting = [
            asyncio.ensure_future(play.until_active(each, body["id"])) for each, body in zip(owner, bodies, strict=True)
        ]
        await play.eventually(lambda: _some_order(play), timeout=20)
        second.signal(signal.SIGKILL)
        await asyncio.gather(*waiting)
    finally:
        if second.returncode is None:
            await second.stop()
    connection = await asyncpg.connect(play.stack.dsn())
    try:
        twice = await connection.fetch(
            """SELECT domain_id, action, count(*) FROM audit WHERE hostname LIKE $1
               AND action IN ('verify', 'ssl_issue', 'activate') GROUP BY 1, 2 HAVING count(*) <> 1""",
            f"%.{play.zone}",
        )
        orders = await connection.fetchval(
            """SELECT max(n) FROM (SELECT count(*) AS n FROM acme_orders o JOIN custom_domains d ON d.id = o.domain_id
               WHERE d.hostname LIKE $1 GROUP BY domain_id) AS per_domain""",
            f"%.{play.zone}",
        )
    finally:
        await connection.close()
    assert twice == []
    assert orders == 1


async def _some_order(play: Play) -> bool:
    connection = await asyncpg.connect(play.stack.dsn())
    try:
        return bool(
            await connection.fetchval(
                """SELECT count(*) > 0 FROM acme_orders o JOIN custom_domains d ON d.id = o.domain_id
                   WHERE d.hostname LIKE $1 AND order_url IS NOT NULL""",
                f"%.{play.zone}",
            )
        )
    finally:
        await connection.close()
