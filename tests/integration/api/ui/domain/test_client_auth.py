"""What a domain asks of its clients, set on its page."""

from __future__ import annotations

from typing import Any

from scenes.asking import MIDDLE, ROOT
from scenes.client_certificates import pem
from scenes.pages import Person, forms

CA = MIDDLE.pem + ROOT.pem
ASKED = {"mode": "required", "ca": CA, "crl": "", "lookup": "all", "by_san": "1", "groups": ""}


async def save(person: Person, path: str, **fields: str) -> None:
    await person.open(f"{path}/client-auth")
    action = f"{path}/client-auth#settings"
    hidden = next(found for name, found in forms(person.page.text) if name == action)
    answer = await person.http.post(
        action,
        data={**hidden, **ASKED, **fields},
        files={"ca_file": ("", b"")},
        headers={"Origin": "https://domains.platform.io"},
    )
    if answer.status_code == 303:
        await person.open(answer.headers["location"])
    else:
        person.page = answer


async def test_clients_are_asked_and_asked_no_more(alice: Person, path: str) -> None:
    await alice.open(f"{path}/client-auth")
    assert "Clients are not asked for certificates" in alice.says
    lists = pem(ROOT.crl(1, 2)) + pem(MIDDLE.crl())
    await save(alice, path, crl=lists, mode="optional", lookup="consumers", groups="OU")
    assert "The client certificates were saved." in alice.says
    assert "Clients may show a certificate" in alice.says
    assert "Middle A" in alice.says and "Root A 2" in alice.says
    text = alice.page.text
    assert ROOT.pem.splitlines()[1] in text
    assert 'name="mode" value="optional" checked' in text
    assert 'name="lookup" value="consumers" checked' in text
    assert 'value="OU"' in text
    await save(alice, path)
    assert "Every client must show a certificate" in alice.says
    await alice.send(f"{path}/client-auth/remove")
    assert "Clients are no longer asked for certificates." in alice.says


REFUSED: list[tuple[dict[str, str], str, str]] = [
    ({"mode": "perhaps"}, "The mode is not known", "mode"),
    ({"ca": ""}, "The authorities are not readable", "ca"),
    ({"ca": "<script>alert(1)</script>"}, "The authorities are not readable", "ca"),
    ({"ca": ROOT.issue("CN=client").pem}, "A certificate is not an authority", "ca"),
    ({"crl": "words"}, "The revocation lists are not readable", "crl"),
    ({"crl": pem(ROOT.crl())}, "An authority has no revocation list", "crl"),
    ({"by_san": ""}, "What consumers are looked up by is not valid", "identify"),
    ({"groups": "<b>"}, "Where groups come from is not valid", "groups"),
]


async def test_what_is_refused_stands_beside_its_field(alice: Person, path: str) -> None:
    for fields, title, field in REFUSED:
        await save(alice, path, **fields)
        assert alice.page.status_code == 422
        problem = alice.page.text.partition(f'id="{field}-problem">')[2].partition("</p>")[0]
        assert title in problem
        assert "<script>alert" not in alice.page.text and "<b>" not in alice.page.text
        await alice.open(f"{path}/client-auth")
        assert "Clients are not asked for certificates" in alice.says


async def test_a_key_that_was_pasted_by_mistake_is_not_shown_again(alice: Person, path: str) -> None:
    key = ROOT.issue("CN=client").key_pem
    await save(alice, path, ca=key)
    assert alice.page.status_code == 422
    assert key.splitlines()[1] not in alice.page.text


async def test_consumers_are_listed(alice: Person, path: str, pool: Any, owner: Any) -> None:
    from api.client_auth import NewConsumer
    from control.client_auth.tenant import TenantClientAuths

    auths = TenantClientAuths(pool)
    for number in range(11):
        value = f"dns:c{number}.test"
        await auths.add_consumer(owner, NewConsumer(f"orders <b>{number}", "san", value, ("shop",)))
    await alice.open(f"{path}/client-auth")
    assert "orders <b>9 san dns:c9.test shop" in alice.says
    assert "orders <b>10" not in alice.says
    assert "And more; the API lists all." in alice.says
