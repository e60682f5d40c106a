"""Hand-over links and sessions: one minute, once, eight hours, and out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from scenes.pages import ORIGIN, Person
from starlette.types import ASGIApp

from api.auth import Operator, Principal
from api.problems import ADMIN_SCOPE
from api.ui.app import Ui
from api.ui.sessions import IDLE, LONGEST, digest_of
from control.housekeeping import tidy
from control.ui.signing import VaultSigningKeys
from control.vault import Vault, VaultDenied
from core.vault import UI_SIGNING
from core.vault_login import AppRole
from embedded.vault_mount import VaultMount

Enter = Callable[..., Awaitable[Person]]
API = "/api/v1"


def digest(person: Person) -> bytes:
    return digest_of(person.http.cookies["__Host-nameplate"])


async def ask(person: Person, token: str, path: str = "/portal/sessions", **arguments: Any) -> httpx.Response:
    return await person.http.post(API + path, headers={"Authorization": f"Bearer {token}"}, **arguments)


# --- the REST operation


async def test_a_platform_hands_its_tenant_over(new_person: Any, issuer: Any, clock: Any) -> None:
    person = new_person()
    answer = await ask(person, issuer.token(uuid4()), json={})
    assert answer.status_code == 201
    assert answer.json()["expiresAt"] == "2026-04-22T02:01:00.000Z"
    assert answer.headers["cache-control"] == "no-store"
    await person.open(answer.json()["url"])
    assert (person.page.status_code, person.path) == (200, "/ui/")
    assert "No domains yet" in person.says


async def test_a_link_may_lead_to_a_domains_page(new_person: Any, issuer: Any) -> None:
    person, token = new_person(), issuer.token(uuid4())
    added = await ask(person, token, "/domains", json={"hostname": "shop.example.com"})
    answer = await ask(person, token, json={"domain": added.json()["id"]})
    await person.open(answer.json()["url"])
    assert person.path == f"/ui/domains/{added.json()['id']}"


@pytest.mark.parametrize("domain", ["x", "", str(uuid4()), "{" + str(uuid4()) + "}"])
async def test_no_link_leads_to_what_is_not_the_tenants(new_person: Any, issuer: Any, domain: str) -> None:
    answer = await ask(new_person(), issuer.token(uuid4()), json={"domain": domain})
    assert (answer.status_code, answer.json()["code"]) == (404, "domain_not_found")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"[]", "wrong_type"),
        (b'{"tenant": "x"}', "unknown_field"),
        (b'{"domain": 7}', "wrong_type"),
        (b"{", "invalid_json"),
    ],
)
async def test_a_body_is_taken_strictly(new_person: Any, issuer: Any, body: bytes, code: str) -> None:
    token = issuer.token(uuid4())
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    answer = await new_person().http.post(f"{API}/portal/sessions", content=body, headers=headers)
    assert answer.json()["code"] == code


async def test_the_operators_link_is_for_an_operator(new_person: Any, issuer: Any) -> None:
    person = new_person()
    tenant = await ask(person, issuer.token(uuid4()), "/admin/portal/sessions")
    assert (tenant.status_code, tenant.json()["code"]) == (403, "admin_only")
    operator = await ask(person, issuer.token(None, scope=ADMIN_SCOPE), "/admin/portal/sessions")
    entered = await person.http.get(operator.json()["url"])
    assert (entered.status_code, entered.headers["location"]) == (303, "/ui/operator/")


async def test_without_an_address_there_are_no_pages(
    make_app: Callable[..., ASGIApp], pool: asyncpg.Pool[Any], issuer: Any
) -> None:
    transport = httpx.ASGITransport(make_app(pool))
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as http:
        headers = {"Authorization": f"Bearer {issuer.token(uuid4())}"}
        answer = await http.post(f"{API}/portal/sessions", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "portal_not_offered")
        for path in ("/", "/ui", "/ui/", "/ui/enter", "/ui/static/x/site.css"):
            assert (await http.get(path)).status_code == 404


# --- the ticket


async def test_a_link_works_once(new_person: Any, ui: Ui) -> None:
    link = await ui.links.make(Principal(uuid4(), "alice"))
    await new_person().open(link.url)
    second = new_person()
    await second.open(link.url)
    assert second.page.status_code == 403
    assert "used already" in second.says
    assert not second.http.cookies


async def test_a_link_stays_used_after_signing_out(alice: Person, new_person: Any, ui: Ui) -> None:
    link = await ui.links.make(Principal(uuid4(), "bob"))
    bob = new_person()
    await bob.open(link.url)
    await bob.send("/ui/leave")
    await bob.open(link.url)
    assert "used already" in bob.says


@pytest.mark.parametrize(
    ("query", "words"),
    [("?ticket=a.b", "does not work"), ("", "does not work"), ("?ticket=" + "a" * 5000, "does not work")],
)
async def test_a_forged_link_says_so_and_where_to_get_a_new_one(new_person: Any, query: str, words: str) -> None:
    person = new_person()
    await person.open("/ui/enter" + query)
    assert (person.page.status_code, words in person.says) == (403, True)
    assert 'href="https://platform.test/"' in person.page.text
    assert person.page.headers["content-type"].startswith("text/html")


async def test_a_link_expires(new_person: Any, ui: Ui, clock: Any) -> None:
    link = await ui.links.make(Principal(uuid4(), "alice"))
    clock.at += timedelta(seconds=61)
    person = new_person()
    await person.open(link.url)
    assert (person.page.status_code, "has expired" in person.says) == (403, True)


async def test_the_key_is_made_once_and_is_the_same_for_all_replicas(vault: Any) -> None:
    await vault.destroy(UI_SIGNING)
    found = await asyncio.gather(*(VaultSigningKeys(vault).key() for _ in range(4)))
    assert set(found) == {await VaultSigningKeys(vault).newer()}
    stored = await vault.read(UI_SIGNING)
    assert stored is not None
    assert stored.version == 1


async def test_a_key_that_the_operator_replaced_is_taken_up(vault: Any, ui: Ui, new_person: Any) -> None:
    await ui.links.make(Operator("op"))
    times = [0.0]
    keys = VaultSigningKeys(vault, lambda: times[0])
    before = await keys.key()
    _, cas = await vault.read_with_cas(UI_SIGNING)
    await vault.write(UI_SIGNING, {"key": "bmV3" * 16}, cas=cas)
    assert await keys.newer() == before, "not twice within seconds, whatever is asked"
    times[0] = 11.0
    assert await keys.newer() == b"new" * 16


async def test_a_link_that_is_loaded_anew_by_who_used_it_leads_on(new_person: Any, ui: Ui) -> None:
    person, link = new_person(), await ui.links.make(Principal(uuid4(), "alice"))
    await person.open(link.url)
    await person.open(link.url)
    assert (person.page.status_code, person.path) == (200, "/ui/")


async def test_a_preview_does_not_use_a_link_up(new_person: Any, ui: Ui) -> None:
    link = await ui.links.make(Principal(uuid4(), "alice"))
    answer = await new_person().http.head(link.url)
    assert (answer.status_code, "set-cookie" in answer.headers) == (204, False)
    assert (await new_person().open(link.url)).status_code == 200


async def test_a_sidecar_cannot_read_the_key(ui: Ui, vault_mount: VaultMount) -> None:
    await ui.links.make(Operator("op"))
    role = vault_mount.sidecar
    vault = Vault(vault_mount.url, vault_mount.path, AppRole(role.role_id, lambda: role.secret_id))
    with pytest.raises(VaultDenied):
        await vault.read(UI_SIGNING)
    vault.close()


# --- the session


async def test_a_new_link_ends_the_browsers_session_before(enter: Enter, new_person: Any, ui: Ui) -> None:
    tenant_id, copied = uuid4(), new_person()
    alice = await enter(Principal(tenant_id, "alice"))
    copied.http.cookies.update(alice.http.cookies)
    await alice.open((await ui.links.make(Principal(tenant_id, "bob"))).url)
    assert (await alice.open("/ui/")).status_code == 200
    assert (await copied.open("/ui/")).status_code == 401


async def test_nobody_is_led_into_another_account_without_a_word(alice: Person, new_person: Any, ui: Ui) -> None:
    link = await ui.links.make(Principal(uuid4(), "mallory"))
    before = alice.http.cookies["__Host-nameplate"]
    await alice.open(link.url)
    assert "signed in to another account" in alice.says and "mallory" in alice.says
    assert alice.http.cookies["__Host-nameplate"] == before
    forged = {"csrf": "x", "ticket": link.url.partition("ticket=")[2]}
    answer = await alice.http.post("/ui/enter", data=forged, headers={"Origin": ORIGIN})
    assert answer.status_code == 403
    await alice.send("/ui/enter")
    assert alice.path == "/ui/" and "Signed in as mallory" in alice.page.text
    nobody = new_person()
    assert (await nobody.http.post("/ui/enter", data=forged, headers={"Origin": ORIGIN})).status_code == 401


async def test_the_cookie_is_for_this_host_over_tls_and_no_script(new_person: Any, ui: Ui) -> None:
    answer = await new_person().http.get((await ui.links.make(Principal(uuid4(), "alice"))).url)
    (cookie,) = answer.headers.get_list("set-cookie")
    name, *attributes = cookie.split("; ")
    assert name.startswith("__Host-nameplate=")
    assert len(name) == len("__Host-nameplate=") + 43
    assert {part.lower() for part in attributes} == {"httponly", "secure", "samesite=lax", "path=/"}


async def test_a_session_ends_when_nobody_uses_it(alice: Person, clock: Any) -> None:
    clock.at += IDLE - timedelta(minutes=2)
    assert (await alice.open("/ui/")).status_code == 200
    clock.at += IDLE - timedelta(minutes=2)
    assert (await alice.open("/ui/")).status_code == 200, "the use before counts"
    clock.at += IDLE + timedelta(seconds=1)
    assert (await alice.open("/ui/")).status_code == 401
    assert "You are signed out" in alice.says


async def test_a_session_ends_whoever_uses_it(alice: Person, clock: Any) -> None:
    for _ in range(int(LONGEST / timedelta(minutes=30)) - 1):
        clock.at += timedelta(minutes=30)
        assert (await alice.open("/ui/")).status_code == 200
    clock.at += timedelta(minutes=30)
    assert (await alice.open("/ui/")).status_code == 401


async def test_to_look_whether_it_lasts_is_no_use_of_it(ui: Ui, alice: Person, clock: Any, workers: Any) -> None:
    session_id = await workers.fetchval("SELECT id FROM ui_sessions WHERE token = $1", digest(alice))
    assert await ui.sessions.lasts(session_id)
    clock.at += IDLE + timedelta(seconds=1)
    assert not await ui.sessions.lasts(session_id)
    assert (await alice.open("/ui/")).status_code == 401


async def test_signing_out_ends_it_everywhere(alice: Person, new_person: Any) -> None:
    copied = new_person()
    copied.http.cookies.update(alice.http.cookies)
    await alice.send("/ui/leave")
    assert (alice.path, "You are signed out" in alice.says) == ("/ui/left", True)
    assert not alice.http.cookies
    assert (await copied.open("/ui/")).status_code == 401


async def test_signing_out_takes_a_form_of_ours(alice: Person) -> None:
    answer = await alice.http.post("/ui/leave", data={"csrf": ""}, headers={"Origin": ORIGIN})
    assert answer.status_code == 403
    assert (await alice.open("/ui/")).status_code == 200


@pytest.mark.parametrize("cookie", ["", "x", "a" * 43, "ä", "a" * 4000])
async def test_any_cookie_is_survived(new_person: Any, cookie: str) -> None:
    answer = await new_person().http.get("/ui/", headers={b"cookie": b"__Host-nameplate=" + cookie.encode()})
    assert answer.status_code == 401


async def end_all(person: Person, token: str, subject: str | None, path: str = "/portal/sessions") -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return await person.http.delete(API + path, headers=headers, params={"subject": subject} if subject else {})


async def test_a_person_who_leaves_is_out_everywhere(
    enter: Enter, new_person: Any, ui: Ui, issuer: Any, clock: Any
) -> None:
    """Sessions, and links that nobody has followed yet: of this subject of this tenant, and of nobody else."""
    alice, bob, stranger = Principal(uuid4(), "alice"), "bob", Principal(uuid4(), "alice")
    here, there = await enter(alice), await enter(alice)
    others = [await enter(Principal(alice.tenant_id, bob)), await enter(stranger)]
    operator = await enter(Operator("alice"))
    link, token = await ui.links.make(alice), issuer.token(alice.tenant_id)
    answer = await end_all(new_person(), token, "alice")
    assert (answer.status_code, answer.json()) == (200, {"ended": 2})
    assert [(await one.open("/ui/")).status_code for one in (here, there, *others)] == [401, 401, 200, 200]
    assert (await operator.open("/ui/operator/")).status_code == 503  # it is not offered here, and she is in
    person = new_person()
    await person.open(link.url)
    assert (person.page.status_code, "has ended" in person.says) == (403, True)
    assert (await end_all(person, token, "alice")).json() == {"ended": 0}
    clock.at += timedelta(seconds=6)
    assert (await (await enter(alice)).open("/ui/")).status_code == 200


async def test_an_operators_sessions_are_in_the_audit(enter: Enter, issuer: Any, workers: asyncpg.Pool[Any]) -> None:
    name = f"op-{uuid4()}"
    person, token = await enter(Operator(name)), issuer.token(None, sub="root", scope=ADMIN_SCOPE)
    tenant = await end_all(person, issuer.token(uuid4()), name, "/admin/portal/sessions")
    assert (tenant.status_code, tenant.json()["code"]) == (403, "admin_only")
    assert (await end_all(person, token, name, "/admin/portal/sessions")).json() == {"ended": 1}
    assert (await person.open("/ui/operator/")).status_code == 401
    rows = await workers.fetch(
        """SELECT actor, action FROM audit WHERE actor = $1 OR detail ->> 'subject' = $2 ORDER BY id""",
        f"operator:{name}",
        name,
    )
    assert [tuple(row) for row in rows] == [
        (f"operator:{name}", "session_begin"),
        ("operator:root", "session_end_all"),
    ]


@pytest.mark.parametrize("subject", [None, "a\n", "a" * 256])
async def test_whose_sessions_end_must_be_said(new_person: Any, issuer: Any, subject: str | None) -> None:
    answer = await end_all(new_person(), issuer.token(uuid4()), subject)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter")


async def test_a_link_that_is_followed_in_that_moment_is_too_late_or_ends_too(
    enter: Enter, ui: Ui, new_person: Any
) -> None:
    """Whichever of the two comes first."""
    alice = Principal(uuid4(), "alice")
    people = [new_person() for _ in range(6)]
    links = [await ui.links.make(alice) for _ in people]
    come = [person.open(link.url) for person, link in zip(people, links, strict=True)]
    await asyncio.gather(*come[:3], ui.sessions.end_all(alice, "alice"), *come[3:])
    assert {(await person.open("/ui/")).status_code for person in people} == {401}


async def test_the_database_has_neither_cookie_nor_ticket(alice: Person, workers: Any, ui: Ui, new_person: Any) -> None:
    row = await workers.fetchrow("SELECT ui_sessions::text AS row FROM ui_sessions WHERE token = $1", digest(alice))
    token = alice.http.cookies["__Host-nameplate"]
    assert token not in row["row"]
    assert token.encode().hex() not in row["row"]


async def test_a_tenants_session_is_no_operators_and_both_live_in_one_browser(enter: Enter, ui: Ui) -> None:
    person = await enter(Operator("op"))
    assert (await person.open("/ui/")).status_code == 401
    await person.open((await ui.links.make(Principal(uuid4(), "alice"))).url)
    assert (await person.open("/ui/")).status_code == 200
    assert set(person.http.cookies) == {"__Host-nameplate", "__Host-nameplate-operator"}
    swapped = {"cookie": f"__Host-nameplate={person.http.cookies['__Host-nameplate-operator']}"}
    person.http.cookies.clear()
    assert (await person.http.get("/ui/", headers=swapped)).status_code == 401


async def test_the_api_does_not_take_the_pages_cookie(alice: Person) -> None:
    assert (await alice.http.get(f"{API}/domains")).status_code == 401


async def test_the_tenants_role_sees_no_session(pool: asyncpg.Pool[Any], alice: Person) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await pool.fetch("SELECT * FROM ui_sessions")


async def test_old_sessions_are_tidied_away(alice: Person, workers: asyncpg.Pool[Any], superuser: Any) -> None:
    """The pages' clock of this test is years ago."""
    mine = digest(alice)
    for age, left in (
        ("expires_at = now() + interval '1 hour', used_at = now()", 1),
        ("ended_at = now() - interval '59 minutes'", 1),
        ("ended_at = now() - interval '61 minutes'", 0),
    ):
        await superuser.execute(f"UPDATE ui_sessions SET {age} WHERE token = $1", mine)
        assert await tidy(workers)
        assert await workers.fetchval("SELECT count(*) FROM ui_sessions WHERE token = $1", mine) == left
