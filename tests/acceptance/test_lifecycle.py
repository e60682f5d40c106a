"""What the README promises of the years after a domain has gone live, on the whole stack."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from scenes.load import load
from scenes.play import Play, tenants_seen

from demo.customer import ApiRefused, Customer
from embedded.operator import command
from embedded.process import run

Eventually = Callable[..., Awaitable[Any]]


async def execute(play: Play, statement: str, *arguments: object) -> None:
    connection = await asyncpg.connect(play.stack.dsn())
    try:
        await connection.execute(statement, *arguments)
    finally:
        await connection.close()


async def call(owner: Customer, method: str, path: str, **arguments: Any) -> httpx.Response:
    return await owner.http.request(method, path, headers={"Authorization": f"Bearer {owner.token}"}, **arguments)


async def until(play: Play, owner: Customer, domain_id: str, **expected: str) -> dict[str, Any]:
    async def there() -> dict[str, Any] | None:
        body = await owner.detail(domain_id)
        return body if expected.items() <= body.items() else None

    found: dict[str, Any] = await play.eventually(there, timeout=60)
    return found


async def looked_at(play: Play, owner: Customer, domain_id: str, status: str) -> dict[str, Any]:
    """The next looks are taken now instead of in some hours."""

    async def there() -> dict[str, Any] | None:
        await execute(play, "UPDATE custom_domains SET look_at = now() WHERE id = $1 AND look_at > now()", domain_id)
        body = await owner.detail(domain_id)
        return body if body["status"] == status else None

    found: dict[str, Any] = await play.eventually(there, timeout=60)
    return found


async def test_a_certificate_is_renewed_and_no_visitor_notices(play: Play, eventually: Eventually) -> None:
    owner, host = play.customer(), f"shop.{play.zone}"
    first = await play.active(owner, host)
    async with load(play.stack.https_port, play.stack.trust, [host], eventually, staying=2, coming=1) as visitors:
        response = await call(owner, "POST", f"domains/{first['id']}/renew")
        assert response.status_code == 202, response.text
        renewed = await until(play, owner, first["id"], sslStatus="renewed")
        await visitors.served(20)
        assert visitors.failures() == {}
    assert renewed["certificate"]["serial"] != first["certificate"]["serial"]
    assert (renewed["status"], renewed["ready"], renewed["failureCount"]) == ("active", True, 0)
    assert tenants_seen(await play.visit(host)) == [str(owner.tenant_id)]


async def test_what_is_due_is_renewed_by_itself(play: Play) -> None:
    owner = play.customer()
    first = await play.active(owner, f"shop.{play.zone}")
    await execute(play, "UPDATE custom_domains SET renew_at = now() WHERE id = $1", first["id"])
    renewed = await until(play, owner, first["id"], sslStatus="renewed")
    assert renewed["certificate"]["serial"] != first["certificate"]["serial"]


async def test_a_diagnosis_says_what_was_expected_and_what_was_found(play: Play) -> None:
    owner, host = play.customer(), f"shop.{play.zone}"
    body = await owner.register(host)
    txt = body["instructions"]["verification"]
    await play.stack.dns.replace(txt["name"], "TXT", txt["value"])
    await play.stack.dns.replace(host, "A", "192.0.2.7")
    diagnosis = (await call(owner, "GET", f"domains/{body['id']}/diagnosis")).json()
    assert diagnosis["ok"] is False
    (addresses,) = [one for one in diagnosis["checks"] if one["check"] == "addresses"]
    assert (addresses["ok"], addresses["who"]) == (False, "tenant")
    assert "192.0.2.7" in json.dumps(addresses["found"])

    # Proven, but led elsewhere: no order is spent, and the domain says what it waits for.
    await play.verify_now(owner, body["id"])

    async def waits() -> dict[str, Any] | None:
        found = await owner.detail(body["id"])
        return found if found["nextAttempt"] else None

    found = await play.eventually(waits, timeout=30)
    assert (found["status"], found["sslStatus"], found["failureCount"]) == ("verified", "none", 0)
    assert found["ssl"]["code"] == found["nextAttempt"]["code"] == addresses["code"]
    connection = await asyncpg.connect(play.stack.dsn())
    try:
        assert await connection.fetchval("SELECT count(*) FROM acme_orders WHERE domain_id = $1", body["id"]) == 0
    finally:
        await connection.close()

    await play.stack.dns.remove(host)
    await play.publish(body)
    await play.verify_now(owner, body["id"])
    await until(play, owner, body["id"], status="active")


async def test_a_name_that_moves_away_is_told_so_and_comes_back_by_itself(play: Play) -> None:
    owner, host = play.customer(), f"shop.{play.zone}"
    body = await play.active(owner, host)
    await play.stack.dns.remove(host)
    await play.stack.dns.replace(host, "A", "192.0.2.7")
    await looked_at(play, owner, body["id"], "moved")
    await play.stack.dns.remove(host)
    await play.publish(body)
    await looked_at(play, owner, body["id"], "active")
    assert tenants_seen(await play.visit(host)) == [str(owner.tenant_id)]


async def test_a_name_that_has_left_one_tenant_is_another_s_once_it_is_proven(play: Play) -> None:
    first, second, host = play.customer(), play.customer(), f"shop.{play.zone}"
    body = await play.active(first, host)
    with pytest.raises(ApiRefused, match="hostname_taken"):
        await second.register(host)
    await play.stack.dns.remove(host)
    await play.stack.dns.replace(host, "A", "192.0.2.7")
    await looked_at(play, first, body["id"], "moved")
    claim = await second.register(host)
    assert tenants_seen(await play.visit(host)) == [str(first.tenant_id)], "a claim alone changes nothing"
    await play.stack.dns.remove(host)
    await play.publish(claim)
    await play.until_active(second, claim["id"])

    async def theirs() -> bool:
        return tenants_seen(await play.visit(host)) == [str(second.tenant_id)]

    await play.eventually(theirs, timeout=10)
    with pytest.raises(ApiRefused, match="domain_not_found"):
        await first.detail(body["id"])


async def test_a_released_name_cools_down_before_another_tenant_may_have_it(play: Play) -> None:
    first, second, host = play.customer(), play.customer(), f"shop.{play.zone}"
    body = await play.active(first, host)
    await first.delete(body["id"])
    refusal = await call(second, "POST", "domains", json={"hostname": host})
    assert (refusal.status_code, refusal.json()["code"]) == (409, "hostname_cooling_down")
    assert int(refusal.headers["Retry-After"]) > 3600
    await first.register(host)  # its own tenant may have it back


async def test_many_names_are_imported_in_one_call_with_a_report_a_line(play: Play) -> None:
    owner = play.customer()
    plan = "INSERT INTO tenants (id, slug, max_domains) VALUES ($1, $2, 50)"
    await execute(play, plan, owner.tenant_id, f"bulk-{owner.tenant_id}")
    names = [f"n{number}.{play.zone}" for number in range(20)]
    report = await call(owner, "POST", "domains/import", json={"hostnames": [*names, "192.0.2.1", names[0]]})
    assert report.status_code == 200, report.text
    body = report.json()
    assert (body["created"], body["existing"], body["failed"]) == (20, 0, 2)
    codes = [line["problem"]["code"] for line in body["lines"] if line["result"] == "error"]
    assert codes == ["ip_address", "hostname_repeated"]
    quota = (await call(owner, "GET", "quota")).json()
    assert (quota["limit"], quota["used"], quota["remaining"]) == (50, 20, 30)


async def test_the_audit_log_is_the_tenant_s_to_read_and_proves_itself_whole(play: Play) -> None:
    owner = play.customer()
    body = await play.active(owner, f"shop.{play.zone}")
    rows = (await call(owner, "GET", f"domains/{body['id']}/audit")).json()["data"]
    assert {"add", "verify", "ssl_issue", "activate"} <= {row["action"] for row in rows}
    stranger = Customer("stranger", uuid4(), play.stack.identity.token(uuid4()), play.http)
    assert (await call(stranger, "GET", f"domains/{body['id']}/audit")).status_code == 404
    await run([*command("audit"), "verify", "--without-vault"], env=dict(play.stack.control_environment))


async def test_nobody_else_s_domain_is_slowed_by_those_that_cannot_succeed(play: Play) -> None:
    broken, good = play.customer(), play.customer()
    for number in range(5):
        body = await broken.register(f"broken{number}.{play.zone}")
        txt = body["instructions"]["verification"]
        await play.stack.dns.replace(txt["name"], "TXT", txt["value"])
        await broken.verify_now(body["id"])
    async with asyncio.timeout(60):
        await play.active(good, f"shop.{play.zone}")
