"""The operator uploads bundles of authorities."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from scenes.hierarchy import NOW, issue
from scenes.operators import BUNDLE, CA, Admin, audited, refused


async def test_a_bundle_is_public_and_shows_what_is_in_it(admin: Admin, control: Any) -> None:
    made = await admin.put("/admin/trust/internal", {"pem": "text\n" + CA.root.pem + CA.root.pem + CA.upper.pem})
    assert made.status_code == 201
    shown = (await admin.client.get("/admin/trust/internal")).json()
    assert shown == made.json()
    assert shown["pem"] == CA.root.pem + CA.upper.pem
    assert [one["subject"] for one in shown["authorities"]] == ["Root", "Upper"]
    (listed,) = (await admin.client.get("/admin/trust")).json()["data"]
    assert listed == {name: value for name, value in shown.items() if name != "pem"}
    assert (await admin.client.delete("/admin/trust/internal")).status_code == 204
    assert [action for _, action, _ in await audited(control)] == ["trust_put", "trust_delete"]


EXPIRED = issue("Old root", ca=True, start=NOW - timedelta(days=9), end=NOW - timedelta(days=1))


BAD_BUNDLES: list[tuple[Any, Any]] = [
    ({"pem": ""}, (422, "trust_unreadable", "/pem")),
    ({"pem": CA.leaf.key_pem}, (422, "trust_unreadable", "/pem")),
    ({"pem": CA.root.pem + CA.root.key_pem}, (422, "trust_unreadable", "/pem")),
    ({"pem": CA.root.pem + CA.leaf.pem}, (422, "trust_not_a_ca", "/pem")),
    ({"pem": EXPIRED.pem}, (422, "trust_expired", "/pem")),
    ({"pem": "x" * 520_000 + "\n" * 5_000}, (413, "trust_too_large", "/pem")),
    ({"pem": "x" * 700_000}, (413, "body_too_large", None)),
    ({"pem": [CA.root.pem]}, (422, "wrong_type", "/pem")),
]


async def test_a_bad_bundle_is_refused(admin: Admin) -> None:
    for body, answer in BAD_BUNDLES:
        assert refused(await admin.put("/admin/trust/internal", body)) == answer
    assert (await admin.client.get("/admin/trust")).json() == {"data": []}


async def test_an_expired_authority_beside_a_valid_one_is_taken(admin: Admin) -> None:
    assert (await admin.put("/admin/trust/internal", {"pem": EXPIRED.pem + CA.root.pem})).status_code == 201


async def test_no_bundle_is_called_system(admin: Admin) -> None:
    assert refused(await admin.put("/admin/trust/system", BUNDLE)) == (422, "name_invalid", None)
