"""A tenant brings its own certificate: what is taken, and what is shown of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from scenes.hierarchy import DAY, NOW, issue
from scenes.pairs import CA, HOST, PATH, STRANGER, Serve, body, leaf, problem, stored

from api.instructions import Target
from api.uploads import WARN_BEFORE
from control.uploads.schedule import WARNINGS
from core.vault import upload_path
from embedded.database import Database
from embedded.vault_mount import VaultMount


async def test_a_certificate_is_taken_and_its_facts_are_shown_and_never_its_key(
    owner: Any, path: str, vault_mount: VaultMount, logged: list[dict[str, Any]]
) -> None:
    before = (await owner.client.get(path)).json()
    assert (before["inUse"], before["uploaded"], before["managed"], before["serving"]) == (None, None, None, False)
    response = await owner.client.put(path, json=body())
    assert response.status_code == 201
    shown = response.json()
    assert shown == (await owner.client.get(path)).json()
    certificate = CA.leaf.certificate
    assert shown["inUse"] == "uploaded"
    assert shown["serving"] is False, "the name is not proven yet"
    assert shown["uploaded"]["fingerprint"] == certificate.fingerprint(hashes.SHA256()).hex()
    assert shown["uploaded"]["serial"] == f"{certificate.serial_number:x}"
    assert shown["uploaded"]["names"] == [HOST]
    assert shown["uploaded"]["notAfter"] == (NOW + 30 * DAY).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    assert (await stored(vault_mount, path))["data"]["key"] == CA.leaf.key_pem
    secret = CA.leaf.key_pem.splitlines()[1]
    document = await owner.client.get(path.removesuffix("/certificate"))
    audit = await owner.client.get(path.removesuffix("certificate") + "audit")
    for answer in (response, document, audit):
        assert secret not in answer.text
        assert "PRIVATE" not in answer.text
    assert secret not in str(logged)
    assert [line["action"] for line in audit.json()["data"]] == ["upload", "add"]
    assert document.json()["certificate"]["source"] == "uploaded"
    assert document.json()["certExpiry"] == shown["uploaded"]["notAfter"]


async def test_the_same_again_changes_nothing_and_another_one_replaces_it(
    owner: Any, path: str, vault_mount: VaultMount, control: asyncpg.Connection[Any]
) -> None:
    first = await owner.client.put(path, json=body())
    again = await owner.client.put(path, json=body())
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert (await stored(vault_mount, path))["metadata"]["version"] == 1
    reordered = {**body(), "certificate": CA.root.pem + CA.upper.pem + CA.lower.pem + CA.leaf.pem}
    assert (await owner.client.put(path, json=reordered)).json() == first.json(), "it is the same, once mended"

    other = await owner.client.put(path, json=leaf())
    assert other.status_code == 200
    assert other.json()["uploaded"]["fingerprint"] != first.json()["uploaded"]["fingerprint"]
    assert (await stored(vault_mount, path))["metadata"]["version"] == 2
    rows = await control.fetch("SELECT vault_version, ended_by, names FROM uploads ORDER BY created_at")
    # Thousands of names a certificate, a hundred of these an hour, for a month: nothing asks for them any more.
    assert [tuple(row) for row in rows] == [(1, "replaced", []), (2, None, [HOST])]
    events = await control.fetch("SELECT event FROM outbox WHERE event LIKE 'domain.upload%' ORDER BY id")
    assert [row["event"] for row in events] == ["domain.upload", "domain.upload_replace"]


async def test_a_withdrawn_one_is_gone_and_its_key_is_to_be_destroyed(
    owner: Any, path: str, control: asyncpg.Connection[Any]
) -> None:
    problem(await owner.client.delete(path), "certificate_not_uploaded")
    await owner.client.put(path, json=body())
    assert await control.fetchval("SELECT clear_at FROM upload_keys") is None
    assert (await owner.client.delete(path)).status_code == 204
    assert (await owner.client.get(path)).json()["inUse"] is None
    assert await control.fetchval("SELECT clear_at > now() FROM upload_keys")
    assert (await owner.client.put(path, json=body())).status_code == 201, "it may come back meanwhile"
    assert await control.fetchval("SELECT clear_at FROM upload_keys") is None


async def test_it_is_shown_beside_the_managed_one_and_comes_first(
    owner: Any, path: str, control: asyncpg.Connection[Any]
) -> None:
    await control.execute(
        """WITH made AS (INSERT INTO certificates (domain_id, serial, issuer, fingerprint, not_before, not_after,
               vault_version, directory_url)
               SELECT id, 'ab', 'CA', repeat('f', 64), now(), now() + interval '90 days', 1, 'x' FROM custom_domains
               RETURNING id)
           UPDATE custom_domains SET certificate_id = (SELECT id FROM made), status = 'active', ssl_status = 'issued'"""
    )
    managed = (await owner.client.get(path)).json()
    assert (managed["inUse"], managed["managed"]["serial"], managed["serving"]) == ("managed", "ab", True)
    both = (await owner.client.put(path, json=body())).json()
    assert (both["inUse"], both["managed"], both["serving"]) == ("uploaded", managed["managed"], True)
    document = (await owner.client.get(path.removesuffix("/certificate"))).json()
    assert (document["certificate"]["source"], document["ready"]) == ("uploaded", True)
    await owner.client.delete(path)
    document = (await owner.client.get(path.removesuffix("/certificate"))).json()
    assert (document["certificate"]["source"], document["certificate"]["serial"]) == ("managed", "ab")


async def test_what_ends_soon_is_warned_of_in_both_documents(owner: Any, path: str) -> None:
    end = datetime.now(UTC) + timedelta(days=5, hours=1)
    shown = (await owner.client.put(path, json=leaf(end=end))).json()
    warning = shown["uploaded"]["warning"]
    assert (warning["code"], warning["days"]) == ("certificate_expires_soon", 5)
    document = (await owner.client.get(path.removesuffix("/certificate"))).json()
    assert document["certificateWarning"] == warning
    assert (await owner.client.put(path, json=leaf(end=NOW + 60 * DAY))).json()["uploaded"]["warning"]["days"] == 29, (
        "the intermediate ends before the leaf, and clients will refuse both"
    )
    root = issue("Root", ca=True)
    lasting = issue("Lower", root, ca=True, end=NOW + 90 * DAY)
    made = issue("leaf", lasting, names=(HOST,), end=NOW + 60 * DAY)
    later = await owner.client.put(path, json={"certificate": made.pem + lasting.pem, "privateKey": made.key_pem})
    assert later.json()["uploaded"]["warning"] is None
    assert max(WARNINGS) == WARN_BEFORE.days


async def test_a_wildcard_domain_takes_a_wildcard_certificate(
    serve: Serve, database: Database, uploads: Any, new_tenant: Callable[..., Any]
) -> None:
    target = Target("custom.platform.io", ("76.76.21.21",), (), "acme.platform.io")
    async with serve(database.api_dsn, uploads=uploads, target=target) as url:
        owner = new_tenant(url)
        path = PATH.format((await owner.add("*.example.com")).json()["id"])
        problem(await owner.client.put(path, json=body()), "certificate_wrong_name")
        key = rsa.generate_private_key(65537, 2048)
        assert (await owner.client.put(path, json=leaf("example.com", "*.example.com", key=key))).status_code == 201


async def test_a_wildcard_certificate_covers_one_label(owner: Any, path: str) -> None:
    problem(await owner.client.put(path, json=leaf("*.com")), "certificate_wrong_name")
    assert (await owner.client.put(path, json=leaf("*.example.com"))).status_code == 201


async def test_a_failed_domain_is_looked_at_again(owner: Any, path: str, control: asyncpg.Connection[Any]) -> None:
    await control.execute("UPDATE custom_domains SET status = 'failed', ssl_status = 'paused', failure_count = 10")
    await control.execute("DELETE FROM jobs")
    assert (await owner.client.put(path, json=body())).status_code == 201
    document = (await owner.client.get(path.removesuffix("/certificate"))).json()
    assert (document["status"], document["sslStatus"], document["failureCount"]) == ("pending", "error", 0)
    assert await control.fetchval("SELECT kind FROM jobs") == "verify"


async def test_no_table_has_a_part_of_the_key(
    owner: Any, path: str, superuser: asyncpg.Connection[Any], caplog: pytest.LogCaptureFixture
) -> None:
    await owner.client.put(path, json=body())
    await owner.client.put(path, json={**body(), "privateKey": STRANGER.leaf.key_pem})
    secrets = [pair.leaf.key_pem.splitlines()[line] for pair in (CA, STRANGER) for line in (1, 2)]
    tables = await superuser.fetch(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    assert len(tables) > 20
    for table in tables:
        rows = await superuser.fetch(f"SELECT t::text FROM {table['relname']} AS t")
        assert not [row for row in rows for secret in secrets if secret in row[0]]
    assert not [secret for secret in secrets if secret in caplog.text]


async def test_the_managed_one_beneath_it_can_be_asked_for(
    owner: Any, path: str, control: asyncpg.Connection[Any]
) -> None:
    renew = path.removesuffix("certificate") + "renew"
    await control.execute("UPDATE custom_domains SET status = 'active'")
    problem_before = await owner.client.post(renew)
    assert problem_before.json()["code"] == "domain_not_active"
    await owner.client.put(path, json=body())
    await control.execute("DELETE FROM jobs")
    asked = await owner.client.post(renew)
    assert (asked.status_code, asked.json()["sslStatus"], asked.json()["renewAt"]) == (202, "none", None)
    assert await control.fetchval("SELECT kind FROM jobs") == "obtain"
    assert (await owner.client.post(renew)).json()["code"] == "renewal_too_soon"


async def test_uploads_at_once_leave_one_that_vault_and_postgresql_agree_on(
    owner: Any, path: str, control: asyncpg.Connection[Any], vault_mount: VaultMount
) -> None:
    bodies = [leaf() for _ in range(5)]
    answers = await asyncio.gather(*(owner.client.put(path, json=one) for one in bodies))
    assert {answer.status_code for answer in answers} <= {200, 201, 409}
    assert any(answer.is_success for answer in answers), "the last one at least"
    row = await control.fetchrow("SELECT vault_version, fingerprint FROM uploads WHERE ended_at IS NULL")
    domain = UUID(path.split("/")[2])
    answer = await vault_mount.openbao.request(
        "GET", f"{vault_mount.path}/data/{upload_path(domain)}?version={row['vault_version']}"
    )
    assert answer["data"]["data"]["fingerprint"] == row["fingerprint"]
    assert await control.fetchval("SELECT count(*) FROM uploads WHERE ended_at IS NULL") == 1
