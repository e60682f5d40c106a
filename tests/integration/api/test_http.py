"""What holds for every path: tokens, methods, headers, ids, the log and the figures."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from api.operations import OPERATIONS, PREFIXES

Tenant = Any  # tests/integration/api/conftest.py
Issuer = Any
Eventually = Callable[..., Any]

PROTECTED = [
    (operation.method, prefix + re.sub(r"\{.+?\}", "0b8f0a86-4d0c-4a55-9a3b-5f3f0f5ad6a1", operation.path))
    for operation in OPERATIONS
    for prefix in PREFIXES
]
OPEN = ["/openapi.json", "/livez", "/readyz", "/metrics", "/problems", "/problems/has_port"]


# --- tokens


@pytest.mark.parametrize(("method", "path"), PROTECTED)
async def test_nothing_is_done_without_a_token(client: httpx.AsyncClient, method: str, path: str) -> None:
    response = await client.request(method, path)
    assert (response.status_code, response.json()["code"]) == (401, "token_missing")
    assert response.headers["www-authenticate"].startswith("Bearer")


async def test_a_token_is_checked_before_anything_else_is_said(client: httpx.AsyncClient, issuer: Issuer) -> None:
    token = issuer.token(uuid4(), exp=time.time() - 3600)
    response = await client.post(
        "/v1/domains?x=1", content=b"{", headers={"Authorization": f"Bearer {token}", "Content-Type": "text/plain"}
    )
    assert (response.status_code, response.json()["code"]) == (401, "token_expired")


async def test_two_tokens_are_refused(client: httpx.AsyncClient, issuer: Issuer) -> None:
    headers = [("Authorization", f"Bearer {issuer.token(uuid4())}") for _ in range(2)]
    response = await client.get("/v1/domains", headers=headers)
    assert (response.status_code, response.json()["code"]) == (401, "token_malformed")


async def test_the_tenant_is_the_tokens_and_no_headers(tenant: Tenant, other: Tenant) -> None:
    created = await other.add("shop.example.com")
    spoofed = {"X-Tenant-Id": str(other.id), "x-nameplate-host": "shop.example.com"}
    response = await tenant.client.get(f"/domains/{created.json()['id']}", headers=spoofed)
    assert response.status_code == 404


@pytest.mark.parametrize("path", OPEN)
async def test_some_paths_are_for_everybody(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert response.status_code == 200
    assert response.headers["x-content-type-options"] == "nosniff"


# --- methods and paths


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/api/v1/domains", "GET, HEAD, OPTIONS, POST"),
        ("/v1/domains/x", "DELETE, GET, HEAD, OPTIONS"),
        ("/v1/domains/x/verify", "GET, OPTIONS, POST"),
        ("/openapi.json", "GET, HEAD, OPTIONS"),
        ("/livez", "GET, HEAD, OPTIONS"),
        ("/problems", "GET, HEAD, OPTIONS"),
        ("/problems/has_port", "GET, HEAD, OPTIONS"),
    ],
)
async def test_a_path_says_which_methods_it_takes(client: httpx.AsyncClient, path: str, allow: str) -> None:
    response = await client.options(path)
    assert (response.status_code, response.headers["allow"], response.content) == (204, allow, b"")
    for method in ("PUT", "PATCH", "PROPFIND", "MADE-UP"):
        refused = await client.request(method, path)
        assert (refused.status_code, refused.json()["code"]) == (405, "method_not_allowed")
        assert refused.headers["allow"] == allow


async def test_head_is_get_without_the_body(tenant: Tenant) -> None:
    created = await tenant.add("shop.example.com")
    for path in ("/domains", f"/domains/{created.json()['id']}"):
        get, head = await tenant.client.get(path), await tenant.client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        for name in ("content-type", "content-length", "cache-control"):
            assert head.headers[name] == get.headers[name]


async def test_head_does_not_ask_for_a_look(tenant: Tenant, control: asyncpg.Connection[Any]) -> None:
    created = await tenant.add("shop.example.com")
    response = await tenant.client.head(f"/domains/{created.json()['id']}/verify")
    assert response.status_code == 405
    assert await control.fetchval("SELECT count(*) FROM audit WHERE action = 'verify_request'") == 0


@pytest.mark.parametrize(
    "path", ["/", "/api/v1/", "/api/v1/domains/", "/v2/domains", "/api/v1/domains/x/y", "//api/v1/domains"]
)
async def test_another_path_is_not_found_and_not_redirected(tenant: Tenant, url: str, path: str) -> None:
    response = await tenant.client.get(url + path)
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


# --- what is no good HTTP


async def raw(url: str, *pieces: bytes) -> bytes:
    """What the server says until it closes the connection."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    answer = b""
    try:
        with suppress(ConnectionError):  # it closes while we write, or with something of ours unread
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            while got := await reader.read(65536):
                answer += got
    finally:
        writer.transport.abort()
    return answer


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: ", b"a" * 65536),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\n", b"X-Many: a\r\n" * 6000),
        (b"GET /", b"a" * 65536),
        (b"POST /v1/domains HTTP/1.1\r\nHost: x\r\n%sTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Many: a\r\n" * 6000),
    ],
    ids=["a header", "headers", "a path", "trailers"],
)
async def test_a_head_without_end_is_cut_off(url: str, tenant: Tenant, start: bytes, piece: bytes) -> None:
    token = tenant.client.headers["authorization"].encode()
    start = start.replace(b"%s", b"Authorization: " + token + b"\r\nContent-Type: application/json\r\n")
    async with asyncio.timeout(10):
        answer = await raw(url, start, *[piece] * 50)
    assert not answer or answer.startswith(b"HTTP/1.1 400 ")


async def test_after_a_request_with_two_lengths_nothing_more_is_taken(tenant: Tenant, url: str) -> None:
    head = (
        "POST /v1/domains HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Authorization: {tenant.client.headers['authorization']}\r\n"
        "Content-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    )
    async with asyncio.timeout(10):
        answer = await raw(url, head.encode() + b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1


async def test_a_whole_url_in_the_request_line_is_taken_by_its_path(url: str) -> None:
    answer = await raw(url, b"GET http://api.example/livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_an_upgrade_is_ignored(client: httpx.AsyncClient) -> None:
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "x", "Sec-WebSocket-Version": "13"}
    assert (await client.get("/livez", headers=headers)).json() == {"status": "ok"}


# --- headers and ids


async def test_a_condition_that_cannot_hold_is_refused_before_anything_is_done(tenant: Tenant) -> None:
    created = await tenant.add("shop.example.com")
    path = f"/domains/{created.json()['id']}"
    for method, where in (("DELETE", path), ("POST", path + "/verify"), ("GET", path)):
        refused = await tenant.client.request(method, where, headers={"If-Match": '"stale"'})
        assert (refused.status_code, refused.json()["code"]) == (412, "precondition_failed")
    assert (await tenant.client.get(path, headers={"If-Match": "*"})).json()["status"] == "pending"
    assert (await tenant.client.delete(path, headers={"If-Match": "*"})).status_code == 204


@pytest.mark.parametrize("request_id", ["a1", "0b8f0a86-4d0c-4a55-9a3b-5f3f0f5ad6a1", "trace:1.2_3"])
async def test_a_sound_request_id_is_kept(client: httpx.AsyncClient, request_id: str) -> None:
    response = await client.get("/livez", headers={"X-Request-Id": request_id})
    assert response.headers["x-request-id"] == request_id


@pytest.mark.parametrize("request_id", [b"", b"a b", b"a" * 129, b"\xc3\xbc", b'"', b"a;b"])
async def test_an_unsound_request_id_is_replaced(client: httpx.AsyncClient, request_id: bytes) -> None:
    response = await client.get("/livez", headers=[(b"X-Request-Id", request_id)])
    assert response.status_code == 200
    assert len(response.headers["x-request-id"]) == 32


async def test_every_answer_has_the_headers_of_all(tenant: Tenant, client: httpx.AsyncClient) -> None:
    answers = [
        await tenant.add("shop.example.com"),
        await tenant.client.get("/domains"),
        await tenant.client.get("/domains/x"),
        await client.get("/nowhere"),
        await client.put("/v1/domains"),
        await client.options("/v1/domains"),
    ]
    assert [answer.status_code for answer in answers] == [201, 200, 404, 404, 405, 204]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-request-id"]
        assert "access-control-allow-origin" not in answer.headers
        assert "server" not in answer.headers


async def test_a_fault_of_ours_says_nothing_of_itself(
    tenant: Tenant, superuser: asyncpg.Connection[Any], logged: list[dict[str, Any]], eventually: Eventually
) -> None:
    await superuser.execute("REVOKE SELECT ON custom_domains FROM nameplate_api")
    try:
        response = await tenant.client.get("/domains", headers={"X-Request-Id": "fault-1"})
    finally:
        await superuser.execute("GRANT SELECT ON custom_domains TO nameplate_api")
    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    assert "custom_domains" not in response.text
    assert response.headers["x-request-id"] == "fault-1"
    assert response.headers["x-content-type-options"] == "nosniff"
    await eventually(lambda: [entry for entry in of(logged, "fault-1") if entry["event"] == "request"])
    fault, request = of(logged, "fault-1")
    assert (fault["event"], fault["error"]) == ("unhandled_error", "InsufficientPrivilegeError")
    assert (request["level"], request["status"]) == ("error", 500)


# --- the log and the figures, which are written after the answer


def of(logged: list[dict[str, Any]], request_id: str) -> list[dict[str, Any]]:
    return [entry for entry in logged if entry["request_id"] == request_id]


async def test_a_request_is_one_line_without_its_token_or_query(
    tenant: Tenant, logged: list[dict[str, Any]], eventually: Eventually
) -> None:
    await tenant.client.get("/domains?limit=7&limit=8", headers={"X-Request-Id": "line-1"})
    (entry,) = await eventually(lambda: of(logged, "line-1"))
    assert entry.pop("milliseconds") > 0
    assert entry == {
        "level": "info",
        "event": "request",
        "request_id": "line-1",
        "method": "GET",
        "path": "/api/v1/domains",
        "route": "/api/v1/domains",
        "status": 400,
        "tenant_id": str(tenant.id),
    }
    assert tenant.client.headers["authorization"].removeprefix("Bearer ") not in json.dumps(logged)


async def test_nobody_writes_lines_into_the_log(
    client: httpx.AsyncClient, logged: list[dict[str, Any]], eventually: Eventually
) -> None:
    await client.get("/v1/domains/%0d%0afake%20line/" + "a" * 1000, headers={"X-Request-Id": "line-2"})
    (entry,) = await eventually(lambda: of(logged, "line-2"))
    assert entry["path"].startswith("/v1/domains/%0d%0afake%20line/")
    assert len(entry["path"]) <= 256


async def test_requests_are_counted_by_route_and_not_by_path(
    tenant: Tenant, client: httpx.AsyncClient, eventually: Eventually
) -> None:
    async def counted() -> dict[str, float]:
        lines = (await client.get("/metrics")).text.splitlines()
        return {
            line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith("nameplate_api_requests_total{")
        }

    before = await counted()
    name = 'nameplate_api_requests_total{method="GET",route="/api/v1/domains/{id}",status="404"}'
    lost = 'nameplate_api_requests_total{method="other",route="none",status="404"}'
    await asyncio.gather(*(tenant.client.get(f"/domains/{uuid4()}") for _ in range(3)))
    await client.request("PROPFIND", f"/{uuid4()}")

    async def all_counted() -> bool:
        after = await counted()
        assert len(after) - len(before) <= 4
        grown = [after.get(series, 0) - before.get(series, 0) for series in (name, lost)]
        return grown == [3, 1]

    await eventually(all_counted)
