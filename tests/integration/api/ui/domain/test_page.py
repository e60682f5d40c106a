"""A domain's page in every state, whatever strangers have put into it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from scenes.looked_at import Seeing, bring, certify
from scenes.pages import Person

from api.propagation import Nothing
from api.service import SSL_STATUSES, STATUSES
from api.ui.sentence import say
from api.ui.situation import Situation
from core.domain import Domain, Finding, NextAttempt

EVIL = "<script>alert(1)</script>\"'&"


def finding(code: str, who: str = "tenant", message: str = "It is so.", **detail: Any) -> Finding:
    return Finding(code, message, who, datetime.now(UTC), detail)


async def test_a_new_domain_says_what_to_set_and_where(alice: Person, domain: Domain, path: str) -> None:
    assert alice.path == path
    says = alice.says
    assert "Set the DNS records below to connect shop.example.com." in says
    assert "Your turn" in says
    for record in (
        "TXT",
        "_platform-verify.shop",
        domain.txt_value,
        "CNAME",
        f"{domain.target_label}.custom.platform.io",
    ):
        assert record in says
    assert "1 of the 5 domains of your plan are in use" in says
    assert "The domain was added" in says
    assert '<form method="post" action="' + path + '/verify"' in alice.page.text


async def test_every_state_has_a_page(
    alice: Person, domain: Domain, path: str, control: asyncpg.Connection[Any]
) -> None:
    for status in STATUSES:
        for ssl in SSL_STATUSES:
            await bring(control, domain.id, status=status, ssl_status=ssl)
            answer = await alice.open(path)
            assert answer.status_code == 200, (status, ssl)
            assert say(Situation(status, ssl), domain.hostname).text in alice.says


async def test_what_was_found_is_shown_of_each_resolver(
    alice: Person, domain: Domain, path: str, control: asyncpg.Connection[Any]
) -> None:
    resolvers = {"192.0.2.1:53": "other", "192.0.2.2:53": "nodata", "192.0.2.3:53": "servfail: DNSSEC Bogus"}
    seen = finding(
        "txt_mismatch",
        name=domain.txt_name,
        expected=domain.txt_value,
        found=["verify-other"],
        resolvers=resolvers,
        cname={"name": domain.hostname, "expected": "t", "found": [], "resolvers": {"192.0.2.1:53": "found"}},
    )
    await bring(control, domain.id, dns_finding=seen)
    await alice.open(path)
    says = alice.says
    assert "Another value" in says and "We see verify-other" in says
    assert "0 of 3 resolvers see it" in says
    assert "192.0.2.1 sees another value" in says
    assert "192.0.2.2 does not see it yet" in says
    assert "192.0.2.3 cannot reach your name servers" in says
    assert "1 of 1 resolver sees it" in says


async def test_what_strangers_write_is_text(
    alice: Person, domain: Domain, path: str, control: asyncpg.Connection[Any]
) -> None:
    evil = finding(
        "a_code_of_tomorrow", message=EVIL, name=domain.txt_name, found=[EVIL], resolvers={EVIL: "other", "b": EVIL}
    )
    await bring(control, domain.id, dns_finding=evil, status="failed")
    await control.execute(
        """INSERT INTO audit (tenant_id, domain_id, hostname, actor, action, detail)
           VALUES ($1, $2, $3, $4, $5, jsonb_build_object('issuer', $6::text))""",
        domain.tenant_id,
        domain.id,
        domain.hostname,
        f"tenant:{EVIL}",
        EVIL,
        EVIL,
    )
    for page in (path, f"{path}/history", f"{path}/certificate", f"{path}/checks", f"{path}/delete"):
        text = (await alice.open(page)).text
        assert alice.page.status_code == 200
        assert "<script>alert" not in text
    await alice.open(path)
    assert EVIL in alice.says


async def test_a_domain_that_is_live(
    alice: Person, domain: Domain, path: str, control: asyncpg.Connection[Any], witness: Seeing
) -> None:
    await certify(control, domain.id)
    await bring(control, domain.id, renew_at=datetime.now(UTC) + timedelta(days=20, minutes=5))
    await alice.open(path)
    assert "shop.example.com is live and secure." in alice.says
    assert "The certificate renews by itself on" in alice.says and "in 20 days" in alice.says
    assert "3 of 3 edges" in alice.says
    assert "CA <b>E7</b>" in alice.says
    witness.now = Nothing(seen=1, known=3, connected=3, acknowledged=0, rejected=2)
    await alice.open(path)
    assert "1 of 3 edges" in alice.says
    assert "2 could not take its certificate" in alice.says


async def test_the_next_attempt_and_why(
    alice: Person, domain: Domain, path: str, control: asyncpg.Connection[Any]
) -> None:
    at = datetime.now(UTC) + timedelta(minutes=20, seconds=30)
    attempt = NextAttempt(at, "limit_registered_domain", "The limit of registered domain example.com is reached.")
    await bring(control, domain.id, status="verified", verified_by="txt", next_attempt=attempt.to_json())
    await alice.open(path)
    assert "We try again in 20 minutes . Many certificates were issued below this domain lately." in alice.says


async def test_what_only_the_platform_can_mend_is_not_told_in_its_words(
    alice: Person, domain: Domain, path: str, control: asyncpg.Connection[Any]
) -> None:
    secret = finding("vault_denied", "operator", "Vault at 10.0.0.7 refuses control.")
    await bring(control, domain.id, status="verified", ssl_status="error", verified_by="txt", ssl_finding=secret)
    await alice.open(path)
    assert "10.0.0.7" not in alice.page.text
    assert "on our side" in alice.says
    found = {"A": ["10.0.0.8"], "resolvers": {"A": {"10.0.0.9:53": "unreachable"}}}
    secret = finding("dns_unknown", "operator", "Resolver 10.0.0.9 is away.", check="addresses", found=found)
    await bring(control, domain.id, ssl_finding=secret)
    await alice.open(path)
    assert not any(inside in alice.page.text for inside in ("10.0.0.8", "10.0.0.9"))


async def test_every_page_is_held_to_its_own_origin(alice: Person, path: str) -> None:
    for page in ("", "/history", "/certificate", "/client-auth", "/checks", "/delete"):
        answer = await alice.open(path + page)
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
        for forbidden in ("<style", " style=", " onclick", "javascript:", "<script>", "http://", "https://"):
            assert forbidden not in answer.text.replace('href="https://platform.test/"', ""), (page, forbidden)


async def test_another_tenants_domain_is_not_there(mallory: Person, path: str) -> None:
    for page in ("", "/history", "/certificate", "/client-auth", "/checks", "/delete", "/events"):
        answer = await mallory.open(path + page)
        assert answer.status_code == 404
        assert "shop.example.com" not in answer.text


async def test_nobody_sees_it_without_a_session(new_person: Any, path: str) -> None:
    person = new_person()
    for page in ("", "/certificate", "/client-auth", "/checks", "/delete", "/events"):
        assert (await person.open(path + page)).status_code == 401


async def test_a_long_history_has_a_page_of_its_own(
    alice: Person, domain: Domain, path: str, control: asyncpg.Connection[Any]
) -> None:
    await control.executemany(
        "INSERT INTO audit (tenant_id, domain_id, hostname, actor, action) VALUES ($1, $2, $3, $4, $5)",
        [(domain.tenant_id, domain.id, domain.hostname, "control:x", f"thing_{n}") for n in range(130)],
    )
    await alice.open(path)
    assert "Thing 129" in alice.says and "Thing 80" not in alice.says
    await alice.open(f"{path}/history")
    assert "Thing 129" in alice.says and "Thing 29" not in alice.says
    cursor = alice.page.text.partition('href="?cursor=')[2].partition('"')[0]
    await alice.open(f"{path}/history?cursor={cursor}")
    assert "Thing 29" in alice.says and "The domain was added" in alice.says
    assert (await alice.open(f"{path}/history?cursor=nonsense")).status_code == 200


@pytest.mark.parametrize(
    ("hostname", "says", "does_not"),
    [
        ("example.com", ["the top of its domain", "76.76.21.21", "ALIAS", "_platform-verify ", "@"], ["Move without"]),
        ("a.b.example.co.uk", ["a subdomain", "_platform-verify.a.b ", "DNS of example.co.uk"], ["ALIAS"]),
    ],
)
async def test_the_records_of_each_kind_of_name(
    alice: Person, add: Any, owner: Any, hostname: str, says: list[str], does_not: list[str]
) -> None:
    domain = await add(owner, hostname)
    await alice.open(f"/ui/domains/{domain.id}")
    for words in says:
        assert words in alice.says
    for words in does_not:
        assert words not in alice.says
