"""The operator's pages: what each shows, what they take, and that they are nobody else's."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import asyncpg
import pytest
from scenes import overview as scene
from scenes.pages import ORIGIN, Person, browser, forms
from starlette.types import ASGIApp

from api.overview.explanations import Explained, Explanation
from api.ui.app import Ui

Enter = Callable[..., Awaitable[Person]]
PAGES = ("", "fleet", "domains", "failing", "limits", "cas", "deliveries", "audit", "explain")
EVIL = '<script>alert("x")</script>'


def at(page: str, **query: str) -> str:
    return f"{page}?{urlencode(query)}"


@pytest.fixture
async def database(api_database: Any, superuser: Any) -> Any:
    """What other tests have left is not to be seen here."""
    await superuser.execute("DELETE FROM overview_figures")
    return api_database


@pytest.fixture
def watched(workers: asyncpg.Pool[Any]) -> scene.Watched:
    return scene.watched(workers)


@pytest.fixture
def app(make_app: Callable[..., ASGIApp], pool: asyncpg.Pool[Any], ui: Ui, watched: scene.Watched) -> ASGIApp:
    return make_app(pool, ui=ui, overview=watched.overview)


@pytest.fixture
async def root(enter: Enter) -> Person:
    return await enter(scene.ROOT)


@pytest.fixture
async def slug(control: asyncpg.Connection[Any]) -> AsyncIterator[str]:
    """Of a tenant of one's own."""
    yield f"t{uuid4().hex[:12]}"


async def test_an_operator_lands_on_what_is_wrong_first(
    root: Person, watched: scene.Watched, slug: str, control: Any
) -> None:
    assert root.path == "/ui/operator/"
    assert "No sidecar is heard" in root.says
    tenant = await scene.tenant(control, slug)
    await scene.domain(
        control, tenant, f"{slug}.test", ssl_status="error", ssl_finding=scene.finding("vault_away", "operator")
    )
    await control.execute("DELETE FROM overview_figures")
    watched.propagation.heard(scene.sighted("edge-1", 2**62))
    await root.open("/ui/operator/")
    assert "No sidecar is heard" not in root.says
    assert root.says.index("what only you can mend: vault_away") < root.says.index("Domains by state")
    assert "/ui/operator/domains?failing=vault_away" in root.page.text


async def test_each_page_is_shown(root: Person, watched: scene.Watched) -> None:
    watched.propagation.heard(scene.sighted("edge-1", 7))
    await watched.overview.presence.tell()
    for page in PAGES:
        await root.open(f"/ui/operator/{page}")
        assert root.page.status_code == 200, page
        assert 'aria-current="page"' in root.page.text
    await root.open("/ui/operator")
    assert root.path == "/ui/operator/"


async def test_nobody_else_comes_in(app: ASGIApp, alice: Person, root: Person) -> None:
    for person in (alice, Person(browser(app))):
        for page in PAGES:
            await person.open(f"/ui/operator/{page}")
            assert person.page.status_code in (401, 403), page
            assert "signed" in person.says.lower()
    await root.open("/ui/")
    assert root.page.status_code in (401, 403)


async def test_a_domain_of_any_tenant_is_found_by_its_name(root: Person, slug: str, control: Any) -> None:
    domain_id = await scene.domain(
        control,
        await scene.tenant(control, slug),
        f"shop.{slug}.test",
        ssl_status="error",
        ssl_finding=scene.finding("caa_forbids", "tenant", EVIL, expected=[EVIL]),
    )
    for typed in (f"shop.{slug}", f"{slug}.test", f" SHOP.{slug}.test "):
        await root.open(at("/ui/operator/domains", q=typed))
        assert f"/ui/operator/domains/{domain_id}" in root.page.text
        assert "caa_forbids the tenant must act" in root.says
        assert EVIL not in root.page.text
    await root.open(f"/ui/operator/domains/{domain_id}")
    assert root.page.status_code == 200
    assert "caa_forbids" in root.says
    assert EVIL not in root.page.text
    assert "&lt;script&gt;" in root.page.text
    await root.open(f"/ui/operator/domains/{uuid4()}")
    assert root.page.status_code == 404


@pytest.mark.parametrize(
    "address",
    [
        "domains?status=none",
        "domains?q=a&status=active",
        "domains?sslStatus=issued",
        "domains?expiring=0",
        "domains?tenant=1",
        "domains?failing=" + "a" * 70,
        "domains?nothing=1",
        "domains?q=a&q=b",
        "domains?q=%00",
        "audit?since=yesterday",
        "audit?action=A%20b",
        "deliveries?state=lost",
        "explain?host=a&path=x",
        "explain?host=" + "a" * 301,
        "explain?host=a%00",
    ],
)
async def test_what_cannot_be_asked_is_said_on_a_page(root: Person, address: str) -> None:
    await root.open(f"/ui/operator/{address}")
    assert root.page.status_code in (400, 422)
    assert "query parameter" in root.says or "filters do not go together" in root.says


async def test_fields_that_are_left_empty_ask_nothing(root: Person) -> None:
    await root.open("/ui/operator/audit?hostname=&actor=&action=&tenant=&since=&until=")
    assert root.page.status_code == 200
    await root.open("/ui/operator/domains?q=+")
    assert root.page.status_code == 200
    assert "All domains" in root.says


async def test_lists_go_on_where_they_ended(
    root: Person, slug: str, control: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.ui.pages.operator.PAGE", 2)
    tenant = await scene.tenant(control, slug)
    wanted = {f"{letter}.{slug}.test" for letter in "abcde"}
    for name in wanted:
        await scene.domain(control, tenant, name)
    seen: list[str] = []
    await root.open(at("/ui/operator/domains", q=f"{slug}.test"))
    while True:
        seen += re.findall(rf"[a-e]\.{slug}\.test(?=<)", root.page.text)
        more = re.search(r'href="([^"]+)">Next page', root.page.text)
        if more is None:
            break
        await root.open(more[1].replace("&amp;", "&"))
    assert sorted(set(seen)) == sorted(wanted)
    assert len(seen) == len(wanted)


async def test_a_notification_that_was_given_up_is_sent_once_more(root: Person, slug: str, control: Any) -> None:
    tenant = await scene.tenant(control, slug)
    delivery = await scene.dead_letter(control, tenant, f"https://{slug}.example/secret-path?key=1")
    await root.open("/ui/operator/deliveries")
    assert f"https://{slug}.example/…" in root.page.text
    assert "secret-path" not in root.page.text
    retry = f"/ui/operator/deliveries/{delivery}/retry"
    (form,) = [fields for action, fields in forms(root.page.text) if action == retry]
    await root.send(retry)
    assert root.path == "/ui/operator/deliveries"
    assert "sent once more" in root.says
    assert await control.fetchval("SELECT state FROM deliveries WHERE id = $1", delivery) == "pending"
    row = await control.fetchrow(
        "SELECT actor, tenant_id FROM audit WHERE action = 'delivery_retry' AND detail->>'delivery' = $1", str(delivery)
    )
    assert dict(row) == {"actor": "operator:root@platform", "tenant_id": UUID(int=0)}
    again = await root.http.post(retry, data=form, headers={"Origin": ORIGIN})
    assert again.status_code == 404


async def test_it_is_not_sent_for_a_form_of_somebody_else(root: Person, slug: str, control: Any) -> None:
    delivery = await scene.dead_letter(control, await scene.tenant(control, slug), f"https://{slug}.example/")
    await root.open("/ui/operator/deliveries")
    await root.send(f"/ui/operator/deliveries/{delivery}/retry", {"csrf": "x" * 43})
    assert root.page.status_code == 403
    assert await control.fetchval("SELECT state FROM deliveries WHERE id = $1", delivery) == "dead"


async def test_the_audit_is_searched_and_says_of_each_entry_how_it_is_sealed(
    root: Person, slug: str, control: Any, superuser: Any
) -> None:
    tenant = await scene.tenant(control, slug)
    for action in ("add", "verify", "activate"):
        await scene.audited(control, tenant, f"{slug}.test", "tenant:alice", action, found=EVIL)
    await root.open(at("/ui/operator/audit", hostname=f"{slug}.test"))
    assert root.page.text.count("<code>add</code>") == root.page.text.count("<code>verify</code>") == 1
    assert EVIL not in root.page.text
    await root.open(at("/ui/operator/audit", hostname=f"{slug}.test", action="verify", actor="tenant:alice"))
    assert "<code>verify</code>" in root.page.text
    assert "<code>add</code>" not in root.page.text


async def test_what_sidecars_differ_in_is_marked(
    root: Person, watched: scene.Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [
        Explained("edge-1", "answered", 0.01, {"served": True, "lane": EVIL}),
        Explained("edge-2", "answered", 0.02, {"served": False, "lane": EVIL}),
        Explained("edge-3", "silent", None),
        Explained("edge-4", "older", None),
        Explained("edge-5", "refused", 0.1, error={"code": "explain_failed", "message": EVIL}),
    ]

    async def ask(_caller: Any, host: str, sni: str, path: str, sidecar: str | None) -> Explanation:
        return Explanation(host, sni, path, scene.now(), 3.0, answers)

    monkeypatch.setattr(type(watched.overview.explanations), "ask", lambda _self, *given: ask(*given))
    await root.open(at("/ui/operator/explain", host="Shop.Example.COM:443"))
    assert root.page.status_code == 200
    assert "They differ" in root.says
    assert root.page.text.count('class="differs"') == 1
    assert "2 of 5 sidecars have answered" in root.says
    assert "edge-3 has not answered" in root.says
    assert "edge-4 is of an older release" in root.says
    assert EVIL not in root.page.text
