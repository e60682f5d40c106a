"""A certificate of the tenant's own, pasted or as a file; what is refused stands beside its field."""

from __future__ import annotations

import tempfile
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from scenes.hierarchy import Hierarchy, encoded
from scenes.pages import Person, forms
from starlette.formparsers import MultiPartParser

HOST = "shop.example.com"
CA = Hierarchy.of(HOST)
KEY = CA.leaf.key_pem


async def upload(person: Person, path: str, fields: dict[str, str], files: dict[str, Any] | None = None) -> None:
    await person.open(f"{path}/certificate")
    action = f"{path}/certificate#upload"
    hidden = next(fields for found, fields in forms(person.page.text) if found == action)
    answer = await person.http.post(
        action,
        data={**hidden, **fields},
        files=files or {"key_file": ("", b"")},
        headers={"Origin": "https://domains.platform.io"},
    )
    if answer.status_code == 303:
        await person.open(answer.headers["location"])
    else:
        person.page = answer


def secret(key: str) -> str:
    """A line of it that is nowhere else."""
    return key.splitlines()[1]


async def test_a_certificate_is_pasted(alice: Person, path: str) -> None:
    await upload(alice, path, {"certificate": CA.chain, "key": KEY})
    assert alice.path == path
    assert "Your certificate was taken." in alice.says
    assert "Your own" in alice.says and "A certificate was uploaded" in alice.says
    await alice.open(f"{path}/certificate")
    assert "Lower" in alice.says and HOST in alice.says
    assert secret(KEY) not in alice.page.text
    await alice.send(f"{path}/certificate/withdraw")
    assert "Your certificate was withdrawn" in alice.says
    await alice.open(f"{path}/certificate")
    assert "There is none yet." in alice.says


async def test_a_certificate_comes_as_files_and_reaches_no_disk(
    alice: Person, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MultiPartParser, "spool_max_size", 1)
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    files = {
        "certificate_file": ("fullchain.pem", CA.chain.encode()),
        "key_file": ("privkey.pem", KEY.encode(), "application/octet-stream"),
    }
    await upload(alice, path, {"certificate": "", "key": ""}, files)
    assert "Your certificate was taken." in alice.says


REFUSED: list[tuple[dict[str, str], str, str]] = [
    ({"certificate": CA.chain, "key": ""}, "The private key is not readable", "key"),
    ({"certificate": CA.chain, "key": "words"}, "The private key is not readable", "key"),
    (
        {"certificate": CA.chain, "key": encoded(CA.leaf.key, passphrase=b"x")},
        "The private key is encrypted",
        "key",
    ),
    ({"certificate": CA.chain, "key": Hierarchy.of(HOST).leaf.key_pem}, "another certificate", "key"),
    ({"certificate": "", "key": KEY}, "The chain is not readable", "certificate"),
    ({"certificate": "words", "key": KEY}, "The chain is not readable", "certificate"),
    ({"certificate": CA.leaf.pem, "key": KEY}, "The chain is incomplete", "certificate"),
    ({"certificate": KEY, "key": CA.chain}, "not readable", "key"),
]


async def test_what_is_refused_stands_beside_its_field(alice: Person, path: str) -> None:
    for fields, title, field in REFUSED:
        await upload(alice, path, fields)
        assert alice.page.status_code == 422
        text = alice.page.text
        problem = text.partition(f'id="{field}-problem">')[2].partition("</p>")[0]
        assert title in problem.replace("&#39;", "'")
        control = text.partition(f'<textarea id="{field}-field"')[2].partition(">")[0]
        assert 'aria-invalid="true"' in control and f'aria-describedby="{field}-problem {field}-hint"' in control
        assert secret(KEY) not in text
        if "BEGIN CERTIFICATE" in fields["certificate"]:
            assert "".join(fields["certificate"].split()) in "".join(text.split())


async def test_what_has_the_key_in_it_does_not_come_back(alice: Person, path: str) -> None:
    both = CA.chain + KEY
    for fields in ({"certificate": both, "key": "words"}, {"certificate": both[:-9], "key": ""}):
        await upload(alice, path, fields)
        assert alice.page.status_code == 422
        assert secret(KEY) not in alice.page.text
        assert secret(CA.leaf.pem) in alice.page.text


async def test_an_archive_is_told_apart(alice: Person, path: str) -> None:
    archive = serialize_key_and_certificates(
        b"mine", CA.leaf.key, CA.leaf.certificate, None, serialization.BestAvailableEncryption(b"secret")
    )
    files = {"certificate_file": ("mine.p12", archive), "key_file": ("privkey.pem", KEY.encode())}
    await upload(alice, path, {"certificate": "", "key": ""}, files)
    assert alice.page.status_code == 422
    assert "PKCS #12 is not supported." in alice.says
    assert secret(KEY) not in alice.page.text


async def test_a_certificate_for_another_name(alice: Person, path: str) -> None:
    other = Hierarchy.of("other.example.com")
    await upload(alice, path, {"certificate": other.chain, "key": other.leaf.key_pem})
    assert alice.page.status_code == 422
    assert "The certificate is for another name." in alice.says
    assert secret(other.leaf.key_pem) not in alice.page.text


async def test_where_uploads_are_not_offered_the_facts_are_shown_all_the_same(
    make_app: Any, pool: Any, ui: Any, owner: Any, domain: Any
) -> None:
    from scenes.pages import browser

    async with browser(make_app(pool, ui=ui)) as http:
        person = Person(http)
        await person.open((await ui.links.make(owner, domain.id)).url)
        await person.open(f"/ui/domains/{domain.id}/certificate")
        assert person.page.status_code == 200
        assert "Private key" not in person.says
