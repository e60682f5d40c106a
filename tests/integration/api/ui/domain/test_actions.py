"""The buttons of a domain's page, and what they refuse."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from scenes.looked_at import bring, certify
from scenes.pages import Person

from core.domain import Domain, Finding

BUTTONS = ("verify", "pause", "resume", "renew", "delete", "certificate", "certificate/withdraw", "client-auth",
           "client-auth/remove", "checks")  # fmt: skip


async def press(person: Person, path: str, name: str, csrf: str | None = None, **fields: str) -> int:
    """Also a button that the page does not show: somebody else may have been quicker."""
    token = person.csrf if csrf is None else csrf
    headers = {"Origin": "https://domains.platform.io", "Sec-Fetch-Site": "same-origin"}
    answer = await person.http.post(f"{path}/{name}", data={"csrf": token, **fields}, headers=headers)
    if answer.status_code == 303:
        await person.open(answer.headers["location"])
    else:
        person.page = answer
    return answer.status_code


async def test_verify_now(alice: Person, path: str, control: asyncpg.Connection[Any], domain: Domain) -> None:
    await alice.send(f"{path}/verify")
    assert alice.path == path
    assert "The DNS is being checked now." in alice.says
    assert "A look at the DNS was asked for" in alice.says
    await alice.send(f"{path}/verify")
    assert alice.page.status_code == 429
    assert "retry-after" in alice.page.headers
    assert "The DNS was asked a moment ago; try again in" in alice.says
    assert "Set the DNS records below" in alice.says  # on the page where it was asked for
    await certify(control, domain.id)
    assert await press(alice, path, "verify") == 303
    assert "There is nothing to do" in alice.says


@pytest.mark.parametrize("button", ["verify", "pause", "resume", "renew", "certificate/withdraw", "client-auth/remove"])
async def test_a_buttons_own_address_shows_the_page_that_it_is_on(alice: Person, path: str, button: str) -> None:
    assert (await alice.open(f"{path}/{button}")).status_code == 200
    assert f'<form method="post" action="{path}' in alice.page.text
    await alice.open(path)
    assert "A look at the DNS" not in alice.says


async def test_pause_and_resume(alice: Person, path: str, control: asyncpg.Connection[Any], domain: Domain) -> None:
    await certify(control, domain.id)
    await alice.open(path)
    await alice.send(f"{path}/pause")
    assert "You have paused the renewal of its certificate" in alice.says
    assert "The domain is paused." in alice.says
    await alice.send(f"{path}/resume")
    assert "shop.example.com is live and secure." in alice.says
    assert "It was resumed" in alice.says and "It was paused" in alice.says


async def test_what_cannot_be_paused_or_resumed_says_so(alice: Person, path: str) -> None:
    assert await press(alice, path, "pause") == 409
    assert "There is nothing to pause." in alice.says
    assert await press(alice, path, "resume") == 409
    assert "The domain is not paused." in alice.says
    assert await press(alice, path, "renew") == 409
    assert "The domain is not active." in alice.says


async def test_a_failed_domain_is_tried_again(
    alice: Person, path: str, control: asyncpg.Connection[Any], domain: Domain
) -> None:
    await bring(
        control, domain.id, status="failed", dns_finding=Finding("txt_no_record", "", "tenant", datetime.now(UTC), {})
    )
    await alice.open(path)
    assert "Try again" in alice.says
    await alice.send(f"{path}/resume")
    assert "Set the DNS records below" in alice.says


async def test_renew_now(alice: Person, path: str, control: asyncpg.Connection[Any], domain: Domain) -> None:
    await certify(control, domain.id)
    await alice.open(path)
    await alice.send(f"{path}/renew")
    assert "Its certificate is being renewed." in alice.says
    await press(alice, path, "renew")
    assert "There is nothing to do" in alice.says


async def test_a_domain_is_deleted_by_whoever_types_its_name(alice: Person, path: str) -> None:
    await alice.open(f"{path}/delete")
    await alice.send(f"{path}/delete", {"hostname": "shop.example.org <b>"})
    assert alice.page.status_code == 422
    assert "This is another name. Nothing was changed." in alice.says
    assert "<b>" not in alice.page.text
    await alice.send(f"{path}/delete", {"hostname": " Shop.Example.com. "})
    assert alice.path == "/ui/"
    assert "The domain was deleted." in alice.says
    assert (await alice.open(path)).status_code == 404


async def test_no_button_is_pressed_from_elsewhere(alice: Person, mallory: Person, path: str) -> None:
    typed = {"hostname": "shop.example.com"}
    own, others = alice.csrf, mallory.csrf
    cross = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    for name in BUTTONS:
        assert await press(alice, path, name, csrf="forged", **typed) == 403, name
        assert await press(alice, path, name, csrf=others, **typed) == 403, name
        answer = await alice.http.post(f"{path}/{name}", data={"csrf": own, **typed}, headers=cross)
        assert answer.status_code == 403, name
    await alice.open(path)
    assert "The domain was added" in alice.says and "A look at the DNS" not in alice.says


async def test_another_tenants_domain_has_no_buttons(mallory: Person, alice: Person, path: str) -> None:
    token = mallory.csrf
    for name in BUTTONS:
        assert await press(mallory, path, name, csrf=token, hostname="shop.example.com") == 404, name
        assert "shop.example.com" not in mallory.page.text
    assert (await alice.open(path)).status_code == 200


async def test_checks_are_made_when_they_are_asked_for(alice: Person, path: str, scripted: Any) -> None:
    await alice.open(f"{path}/checks")
    assert scripted.asked == []
    await alice.send(f"{path}/checks")
    assert len(scripted.asked) == 1
    assert "Something is in the way of a certificate." in alice.says
    assert "May our certificate authorities issue?" in alice.says and "It forbids us." in alice.says
    assert "issue: x" in alice.says
    await alice.send(f"{path}/checks")
    assert alice.page.status_code == 429
    assert "The domain was diagnosed a moment ago." in alice.says
    assert len(scripted.asked) == 1
