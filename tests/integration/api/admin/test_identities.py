"""The operator uploads the client certificates that upstreams are shown."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from scenes.hierarchy import Hierarchy, encoded
from scenes.operators import CA, PAIR, Admin, audited, refused

from control.vault import Vault
from core.certificate import Certificate
from core.vault import identity_path


async def test_an_identity_is_in_vault_before_it_is_announced_and_is_never_read_back(
    admin: Admin, control: Any, vault: Vault, edge_changes: Any
) -> None:
    made = await admin.put("/admin/identities/edge", PAIR)
    assert made.status_code == 201
    certificate = Certificate.parse(CA.chain, CA.leaf.key_pem)
    assert made.json()["fingerprint"] == certificate.fingerprint
    assert made.json()["names"] == ["edge.platform.io"]
    row = await control.fetchrow("SELECT * FROM identities_v1")
    assert (row["name"], row["fingerprint"], row["vault_version"]) == ("edge", certificate.fingerprint, 1)
    stored = await vault.read(identity_path("edge"), row["vault_version"])
    assert stored is not None
    assert Certificate.from_vault(dict(stored.data)) == certificate
    for path in ("/admin/identities", "/admin/identities/edge"):
        text = (await admin.client.get(path)).text
        assert "PRIVATE" not in text
        assert CA.leaf.key_pem.splitlines()[1] not in text
    assert CA.leaf.key_pem.splitlines()[1] not in json.dumps(await audited(control))
    assert await edge_changes() == 1  # the row that is withdrawn from birth is none


async def test_an_identity_is_replaced_and_the_version_before_stays_readable(admin: Admin, vault: Vault) -> None:
    await admin.made("/admin/identities/edge", PAIR)
    newer = Hierarchy.of("edge.platform.io")
    replaced = await admin.put("/admin/identities/edge", {"certificate": newer.chain, "privateKey": newer.leaf.key_pem})
    assert (replaced.status_code, replaced.json()["issuer"]) == (200, "Lower")
    assert await vault.versions(identity_path("edge")) == (1, 2)


BAD_PAIRS: list[tuple[Any, Any]] = [
    ({**PAIR, "privateKey": CA.root.key_pem}, (422, "key_mismatch", "/privateKey")),
    ({**PAIR, "privateKey": encoded(CA.leaf.key, passphrase=b"x")}, (422, "key_encrypted", "/privateKey")),
    ({**PAIR, "certificate": CA.leaf.pem}, (422, "chain_incomplete", "/certificate")),
    ({**PAIR, "certificate": "A" * 300_000}, (413, "upload_too_large", "/certificate")),
    ({**PAIR, "certificate": "A" * 10_000_000}, (413, "upload_too_large", None)),
    ({"certificate": CA.chain}, (422, "missing_field", "/privateKey")),
]


async def test_a_bad_identity_is_refused_and_nothing_is_left(admin: Admin, vault: Vault, control: Any) -> None:
    for body, answer in BAD_PAIRS:
        assert refused(await admin.put("/admin/identities/edge", body)) == answer
    assert await vault.versions(identity_path("edge")) == ()
    assert await control.fetchval("SELECT count(*) FROM identities") == 0


async def test_of_many_that_make_one_identity_each_is_told_the_truth(admin: Admin, control: Any, vault: Vault) -> None:
    pairs = [Hierarchy.of("edge.platform.io") for _ in range(6)]
    answers = await asyncio.gather(
        *(
            admin.put("/admin/identities/edge", {"certificate": one.chain, "privateKey": one.leaf.key_pem})
            for one in pairs
        )
    )
    codes = [answer.status_code for answer in answers]
    assert set(codes) <= {200, 201, 409}
    assert codes.count(201) == 1
    row = await control.fetchrow("SELECT * FROM identities_v1")
    stored = await vault.read(identity_path("edge"), row["vault_version"])
    assert stored is not None
    assert Certificate.from_vault(dict(stored.data)).fingerprint == row["fingerprint"]
    shown = [answer.json()["fingerprint"] for answer in answers if answer.status_code != 409]
    assert row["fingerprint"] in shown
