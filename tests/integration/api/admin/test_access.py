"""Who may use the admin API, under which names, and on which condition."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from scenes.operators import BUNDLE, CA, PAIR, PATHS, SPEC, Admin, audited, client, refused

from embedded.database import Database


async def test_a_token_without_the_scope_is_refused(admin: Admin, issuer: Any) -> None:
    """Which scopes count: tests/unit/api/auth/test_auth.py."""
    async with client(admin.url, issuer.token(uuid4(), scope="nameplate:admins")) as tenant:
        for path in PATHS:
            response = await tenant.get(path)
            assert refused(response) == (403, "admin_only", None)
            assert 'error="insufficient_scope", scope="nameplate:admin"' in response.headers["www-authenticate"]
        assert refused(await tenant.put("/admin/services/default", json=SPEC)) == (403, "admin_only", None)
        assert (await tenant.get("/domains")).status_code == 200


async def test_an_operators_token_is_no_tenants(admin: Admin) -> None:
    assert refused(await admin.client.get("/domains")) == (401, "token_no_tenant", None)


async def test_a_tenants_token_with_the_scope_may_do_both(admin: Admin, issuer: Any) -> None:
    async with client(admin.url, issuer.token(uuid4(), scope="nameplate:admin")) as both:
        assert (await both.get("/admin/services")).json() == {"data": []}
        assert (await both.get("/domains")).status_code == 200


async def test_where_it_is_not_offered_it_says_so(database: Database, serve: Callable[..., Any], issuer: Any) -> None:
    async with serve(database.api_dsn) as url, client(url, issuer.token(None, scope="nameplate:admin")) as one:
        assert refused(await one.get("/admin/services")) == (503, "admin_unavailable", None)


async def test_a_bad_name_is_refused_or_unknown(admin: Admin) -> None:
    for name in ("Shop", "a_b", "-a", "a-", "a" * 64, "a%20b", "%C3%BC"):
        for path, kind, body in zip(PATHS, ("service", "trust", "identity"), (SPEC, BUNDLE, PAIR), strict=True):
            assert refused(await admin.put(f"{path}/{name}", body)) == (422, "name_invalid", None)
            assert refused(await admin.client.get(f"{path}/{name}")) == (404, f"{kind}_not_found", None)
            assert refused(await admin.client.delete(f"{path}/{name}")) == (404, f"{kind}_not_found", None)


async def test_only_what_was_seen_is_replaced_or_removed(admin: Admin) -> None:
    for path, first, second in (
        ("/admin/services/shop", SPEC, {**SPEC, "protocol": "http2"}),
        ("/admin/trust/internal", BUNDLE, {"pem": CA.root.pem + CA.upper.pem}),
        ("/admin/identities/edge", PAIR, PAIR),
    ):
        assert refused(await admin.put(path, first, **{"If-Match": "*"})) == (412, "precondition_failed", None)
        made = await admin.put(path, first, **{"If-None-Match": "*"})
        assert made.status_code == 201
        assert refused(await admin.put(path, second, **{"If-None-Match": "*"})) == (412, "precondition_failed", None)
        seen = made.headers["etag"]
        assert (await admin.put(path, second, **{"If-Match": f'"other", {seen}'})).status_code == 200
        for stale in (seen, f"W/{seen}", "nonsense", '"', ""):
            answer = await admin.put(path, first, **{"If-Match": stale})
            assert refused(answer) == (412, "precondition_failed", None)
            answer = await admin.client.delete(path, headers={"If-Match": stale})
            assert refused(answer) == (412, "precondition_failed", None)
        now = (await admin.client.get(path)).headers["etag"]
        assert (await admin.client.delete(path, headers={"If-Match": now})).status_code == 204


async def test_of_many_that_replace_what_they_saw_one_succeeds(admin: Admin, control: Any) -> None:
    seen = (await admin.put("/admin/services/shop", SPEC)).headers["etag"]
    specs = [{"addresses": [{"host": "10.0.0.7", "port": port}]} for port in range(1, 9)]
    answers = await asyncio.gather(*(admin.put("/admin/services/shop", spec, **{"If-Match": seen}) for spec in specs))
    assert sorted(answer.status_code for answer in answers) == [200, *[412] * 7]
    assert len(await audited(control)) == 2
