"""POST /domains, through uvicorn, on a real database."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from scenes.problems import assert_problem

Tenant = Any  # tests/integration/api/conftest.py
JSON = {"Content-Type": "application/json"}


# --- the 201 of seed 002


async def test_the_answer_is_the_seeds_example(tenant: Tenant) -> None:
    response = await tenant.add("MyCompany.com.")
    assert response.status_code == 201
    body = response.json()
    token = body["verificationToken"]
    assert re.fullmatch(r"verify-[0-9a-f]{32}", token)
    created = datetime.strptime(body["createdAt"], "%Y-%m-%dT%H:%M:%S.%f%z")
    assert body["createdAt"].endswith("Z")
    assert abs(datetime.now(UTC) - created) < timedelta(minutes=1)
    target = body["instructions"]["subdomain"]["value"]
    assert re.fullmatch(r"t-[0-9a-f]{20}\.custom\.platform\.io", target)
    assert list(body.items()) == [
        ("id", body["id"]),
        ("hostname", "mycompany.com"),
        ("status", "pending"),
        ("sslStatus", "none"),
        ("verificationToken", token),
        (
            "instructions",
            {
                "subdomain": {"type": "CNAME", "name": "mycompany.com", "value": target},
                "apex": {"type": "A", "name": "mycompany.com", "value": "76.76.21.21"},
                "verification": {"type": "TXT", "name": "_platform-verify.mycompany.com", "value": token},
            },
        ),
        ("createdAt", body["createdAt"]),
    ]
    assert response.headers["location"] == f"/api/v1/domains/{body['id']}"
    assert response.headers["content-type"] == "application/json"
    assert "idempotent-replayed" not in response.headers


async def test_the_shorter_prefix_is_the_same_resource(tenant: Tenant, url: str) -> None:
    response = await tenant.client.post(url + "/v1/domains", json={"hostname": "shop.example.com"})
    assert response.status_code == 201
    assert response.headers["location"] == f"/v1/domains/{response.json()['id']}"
    found = await tenant.client.get(url + response.headers["location"])
    assert found.json()["hostname"] == "shop.example.com"


async def test_the_location_is_the_domain(tenant: Tenant, url: str) -> None:
    response = await tenant.add("shop.example.com")
    found = await tenant.client.get(url + response.headers["location"])
    assert found.status_code == 200
    assert response.json().items() <= found.json().items()


async def test_a_unicode_name_and_its_a_label_form_are_one_name(tenant: Tenant) -> None:
    first = await tenant.add("Bücher.example.com")
    assert first.json()["hostname"] == "xn--bcher-kva.example.com"
    assert_problem(await tenant.add("XN--BCHER-KVA.example.com."), 409, "domain_exists")


# --- hostnames that are refused, each by its rule


@pytest.mark.parametrize(
    ("hostname", "code"),
    [
        ("192.0.2.1", "ip_address"),
        ("2001:db8::1", "ip_address"),
        ("[2001:db8::1]", "ip_address"),
        ("192.0.2.1:443", "ip_address"),
        ("shop.example.com:443", "has_port"),
        (".".join(["a" * 50, *["a" * 49] * 4, "com"]), "hostname_too_long"),  # 254
        ("a" * 64 + ".example.com", "label_too_long"),
        ("shop..example.com", "label_empty"),
        (".example.com", "label_empty"),
        ("my_shop.example.com", "label_invalid"),
        ("-shop.example.com", "label_invalid"),
        ("co.uk", "public_suffix"),
        ("localhost", "localhost"),
        ("shop.localhost", "localhost"),
        ("platform.io", "platform_domain"),
        ("tenant-1.Platform.IO.", "platform_domain"),
        ("x.blocked.example", "blocked_suffix"),
        ("intranet", "single_label"),
        ("shop.*.example.com", "wildcard_misplaced"),
        ("*shop.example.com", "wildcard_misplaced"),
        ("*.co.uk", "wildcard_public_suffix"),
        ("*.platform.io", "platform_domain"),
        ("*.example.com", "wildcard_unsupported"),
        ("shop\x00.example.com", "control_character"),
        ("shop.example.com\r\nX-Evil: 1", "control_character"),
        ("shop .example.com", "control_character"),
        ("https://shop.example.com/", "has_scheme_or_path"),
        ("", "hostname_empty"),
        (".", "hostname_empty"),
        ("xn--zz.example.com", "hostname_not_ascii_idna"),
        ("a" * 5000, "hostname_too_long"),
    ],
)
async def test_a_refused_hostname_is_told_the_rule(
    tenant: Tenant, control: asyncpg.Connection[Any], hostname: str, code: str
) -> None:
    problem = assert_problem(await tenant.add(hostname), 422, code)
    assert problem["pointer"] == "/hostname"
    assert problem["detail"]
    assert await control.fetchval("SELECT count(*) FROM tenants") == 0


async def test_a_name_of_253_characters_is_accepted(tenant: Tenant) -> None:
    name = ".".join([*["a" * 49] * 5, "com"])
    assert len(name) == 253
    assert (await tenant.add(name)).status_code == 201


# --- conflicts and limits


async def test_a_domain_of_ones_own_is_linked_to(tenant: Tenant, url: str) -> None:
    created = await tenant.add("shop.example.com")
    problem = assert_problem(await tenant.add("shop.example.com"), 409, "domain_exists")
    assert problem["domain"] == created.headers["location"]
    assert (await tenant.client.get(url + problem["domain"])).status_code == 200


async def test_a_domain_of_another_tenant_is_not_linked_to(
    tenant: Tenant, other: Tenant, control: asyncpg.Connection[Any]
) -> None:
    created = await other.add("shop.example.com")
    await control.execute("UPDATE custom_domains SET status = 'active'")
    problem = assert_problem(await tenant.add("shop.example.com"), 409, "hostname_taken")
    assert "domain" not in problem
    assert created.json()["id"] not in json.dumps(problem)


async def test_parallel_requests_do_not_exceed_the_limit(tenant: Tenant) -> None:
    responses = await asyncio.gather(*(tenant.add(f"d{n}.example.com") for n in range(12)))
    assert [response.status_code for response in responses].count(201) == 5
    for response in responses:
        if response.status_code != 201:
            assert_problem(response, 409, "domain_limit_reached")
    assert len((await tenant.client.get("/domains")).json()["data"]) == 5


async def test_an_unproven_claim_keeps_nobody_from_the_name(tenant: Tenant, other: Tenant) -> None:
    for number in range(4):
        name = f"race{number}.example.com"
        responses = await asyncio.gather(tenant.add(name), other.add(name))
        assert [response.status_code for response in responses] == [201, 201]
        tokens = {response.json()["verificationToken"] for response in responses}
        targets = {response.json()["instructions"]["subdomain"]["value"] for response in responses}
        assert (len(tokens), len(targets)) == (2, 2)


# --- bodies


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid_json"),
        (b"{", 400, "invalid_json"),
        (b"hostname=shop.example.com", 400, "invalid_json"),
        (b'{"hostname": "shop.example.com"} x', 400, "invalid_json"),
        (b'{"hostname": NaN}', 400, "invalid_json"),
        (b'{"hostname": "\xff"}', 400, "invalid_json"),
        (b'{"hostname": "\\ud800.example.com"}', 400, "invalid_json"),
        (b"[" * 60000, 400, "invalid_json"),
        (b"[]", 422, "wrong_type"),
        (b'"shop.example.com"', 422, "wrong_type"),
        (b"{}", 422, "missing_field"),
        (b'{"hostname": 7}', 422, "wrong_type"),
        (b'{"hostname": null}', 422, "wrong_type"),
        (b'{"hostname": ["shop.example.com"]}', 422, "wrong_type"),
        (b'{"hostname": "a.example.com", "hostname": "b.example.com"}', 422, "duplicate_field"),
        (b'{"hostname": "a.example.com", "tenant_id": "x"}', 422, "unknown_field"),
        (b'{"hostname": "a.example.com", "\\u0000": 1}', 422, "unknown_field"),
        (b'{"hostname": "' + b"a" * 65536 + b'"}', 413, "body_too_large"),
        (b" " * 1_000_000, 413, "body_too_large"),
    ],
)
async def test_a_bad_body_is_refused(tenant: Tenant, body: bytes, status: int, code: str) -> None:
    response = await tenant.client.post("/domains", content=body, headers=JSON)
    assert_problem(response, status, code)


async def test_an_unknown_field_is_named(tenant: Tenant) -> None:
    response = await tenant.client.post("/domains", json={"hostname": "a.example.com", "host/name": 1})
    problem = assert_problem(response, 422, "unknown_field")
    assert '"host/name"' in problem["detail"]
    assert problem["pointer"] == "/host~1name"


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "application/json5", "application/json; charset=latin-1", ""],
)
async def test_only_json_is_taken(tenant: Tenant, content_type: str) -> None:
    response = await tenant.client.post(
        "/domains", content=b'{"hostname": "a.example.com"}', headers={"Content-Type": content_type}
    )
    assert_problem(response, 415, "unsupported_media_type")


async def test_a_compressed_body_is_not_taken(tenant: Tenant) -> None:
    response = await tenant.client.post(
        "/domains", content=b'{"hostname": "a.example.com"}', headers={**JSON, "Content-Encoding": "gzip"}
    )
    assert_problem(response, 415, "unsupported_media_type")


async def test_the_charset_may_be_said(tenant: Tenant) -> None:
    response = await tenant.client.post(
        "/domains",
        content=b'{"hostname": "a.example.com"}',
        headers={"Content-Type": "Application/JSON; charset=UTF-8"},
    )
    assert response.status_code == 201


async def test_a_body_without_end_is_cut_off_at_the_limit(tenant: Tenant) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100_000_000:
            sent += 65536
            yield b" " * 65536

    try:
        response = await tenant.client.post("/domains", content=endless(), headers=JSON)
    except httpx.TransportError:
        pass  # the server closed the connection while we were writing
    else:
        assert_problem(response, 413, "body_too_large")
    assert sent < 100_000_000
    assert (await tenant.client.get("/domains")).status_code == 200


async def test_a_client_that_goes_away_while_sending_leaves_no_error(
    tenant: Tenant, url: str, logged: list[dict[str, Any]], eventually: Callable[..., Any]
) -> None:
    host, port = url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    token = tenant.client.headers["authorization"]
    writer.write(
        f"POST /api/v1/domains HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nX-Request-Id: gone-1\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{".encode()
    )
    await writer.drain()
    writer.transport.abort()
    entries = await eventually(lambda: [entry for entry in logged if entry["request_id"] == "gone-1"])
    assert [(entry["event"], entry["status"]) for entry in entries] == [("request", 400)]


async def test_query_parameters_are_refused(tenant: Tenant) -> None:
    response = await tenant.client.post("/domains?dry_run=1", json={"hostname": "a.example.com"})
    problem = assert_problem(response, 400, "unknown_parameter")
    assert problem["parameter"] == "dry_run"


# --- idempotency


async def test_a_repeated_key_replays_the_answer(tenant: Tenant) -> None:
    key = {"Idempotency-Key": "3f8c"}
    first = await tenant.add("shop.example.com", **key)
    again = await tenant.add("SHOP.example.com.", **key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers


async def test_a_repeated_key_with_another_body_is_refused(tenant: Tenant) -> None:
    key = {"Idempotency-Key": "3f8c"}
    await tenant.add("shop.example.com", **key)
    assert_problem(await tenant.add("other.example.com", **key), 422, "idempotency_key_reused")


async def test_parallel_requests_with_one_key_make_one_domain(tenant: Tenant) -> None:
    responses = await asyncio.gather(
        *(tenant.add("shop.example.com", **{"Idempotency-Key": "same"}) for _ in range(10))
    )
    assert {response.status_code for response in responses} == {201}
    assert len({response.content for response in responses}) == 1
    assert sum("idempotent-replayed" in response.headers for response in responses) == 9


async def test_an_error_is_not_replayed(tenant: Tenant, other: Tenant, control: asyncpg.Connection[Any]) -> None:
    await other.add("shop.example.com")
    await control.execute("UPDATE custom_domains SET status = 'active'")
    key = {"Idempotency-Key": "3f8c"}
    assert_problem(await tenant.add("shop.example.com", **key), 409, "hostname_taken")
    await control.execute("UPDATE custom_domains SET status = 'moved'")
    response = await tenant.add("shop.example.com", **key)
    assert response.status_code == 201
    assert "idempotent-replayed" not in response.headers


@pytest.mark.parametrize("key", ["", "a b", "a" * 256, "ü"])
async def test_a_malformed_key_is_refused(tenant: Tenant, key: str) -> None:
    response = await tenant.client.post(
        "/domains", json={"hostname": "a.example.com"}, headers={"Idempotency-Key": key.encode()}
    )
    assert_problem(response, 400, "invalid_idempotency_key")


async def test_two_keys_are_refused(tenant: Tenant) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    response = await tenant.client.post("/domains", json={"hostname": "a.example.com"}, headers=headers)
    assert_problem(response, 400, "invalid_idempotency_key")
