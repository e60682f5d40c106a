"""A tenant brings its own certificate: what each wrong one is refused with."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12
from scenes.hierarchy import DAY, NOW, encoded
from scenes.pairs import CA, HOST, PATH, STRANGER, Serve, body, leaf, problem

from core.upload import MAX_CHAIN
from embedded.database import Database


def p12() -> str:
    made = pkcs12.serialize_key_and_certificates(
        b"shop", CA.leaf.key, CA.leaf.certificate, [CA.lower.certificate], BestAvailableEncryption(b"secret")
    )
    return base64.b64encode(made).decode()


REFUSED: dict[str, tuple[Callable[[], dict[str, str]], str]] = {
    "wrong_key": (lambda: {**body(), "privateKey": STRANGER.leaf.key_pem}, "key_mismatch"),
    "expired": (lambda: leaf(start=NOW - 9 * DAY, end=NOW - DAY), "certificate_expired"),
    "about_to_expire": (lambda: leaf(end=NOW + timedelta(minutes=30)), "certificate_expired"),
    "not_yet_valid": (lambda: leaf(start=NOW + DAY), "certificate_not_yet_valid"),
    "incomplete": (lambda: {**body(), "certificate": CA.leaf.pem}, "chain_incomplete"),
    "without_its_issuer": (lambda: {**body(), "certificate": CA.leaf.pem + CA.upper.pem}, "chain_incomplete"),
    "stranger_in_it": (lambda: {**body(), "certificate": CA.chain + STRANGER.upper.pem}, "chain_unrelated"),
    "encrypted_key": (lambda: {**body(), "privateKey": encoded(CA.leaf.key, passphrase=b"secret")}, "key_encrypted"),
    "encrypted_key_of_old": (
        lambda: {**body(), "privateKey": encoded(CA.leaf.key, "TraditionalOpenSSL", b"secret")},
        "key_encrypted",
    ),
    "weak_rsa": (lambda: leaf(key=rsa.generate_private_key(65537, 1024)), "key_weak"),
    "other_name": (lambda: leaf("other.example.com"), "certificate_wrong_name"),
    "no_name": (lambda: leaf("localhost"), "certificate_wrong_name"),
    "pkcs12": (lambda: {**body(), "certificate": p12()}, "pkcs12_not_supported"),
    "pkcs12_as_key": (lambda: {**body(), "privateKey": p12()}, "pkcs12_not_supported"),
    "der": (
        lambda: {**body(), "certificate": base64.b64encode(CA.leaf.certificate.tbs_certificate_bytes).decode()},
        "chain_unreadable",
    ),
    "damaged": (lambda: {**body(), "certificate": CA.chain.replace("MII", "MIJ", 1)}, "chain_unreadable"),
    "no_certificate": (lambda: {**body(), "certificate": "none"}, "chain_unreadable"),
    "key_for_certificate": (lambda: {**body(), "certificate": CA.leaf.key_pem}, "chain_unreadable"),
    "no_key": (lambda: {**body(), "privateKey": CA.leaf.pem}, "key_not_readable"),
    "client_only": (
        lambda: leaf(extensions=(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CLIENT_AUTH]),)),
        "certificate_wrong_usage",
    ),
    "long_chain": (lambda: {**body(), "certificate": CA.chain + " " * MAX_CHAIN}, "upload_too_large"),
    "huge": (lambda: {**body(), "certificate": CA.chain * 5000}, "upload_too_large"),  # 10 MB
}


async def test_bad_input_has_a_code_of_its_own_and_changes_nothing(
    owner: Any, path: str, control: asyncpg.Connection[Any]
) -> None:
    good = await owner.client.put(path, json=body())
    for name, (make, code) in REFUSED.items():
        sent = make()
        document = problem(await owner.client.put(path, json=sent), code)
        if name != "huge":
            assert document["pointer"] in ("/certificate", "/privateKey"), name
        assert "PRIVATE" not in str(document)
        assert sent["privateKey"][30:60] not in str(document)
    assert (await owner.client.get(path)).json() == good.json()
    assert await control.fetchval("SELECT count(*) FROM uploads") == 1


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ({"certificate": CA.chain}, "missing_field"),
        ({**body(), "chain": ""}, "unknown_field"),
        ({**body(), "privateKey": None}, "wrong_type"),
        ([CA.chain], "wrong_type"),
    ],
)
async def test_a_body_of_another_shape_is_refused(owner: Any, path: str, sent: Any, code: str) -> None:
    problem(await owner.client.put(path, json=sent), code)
    problem(await owner.client.put(path, content=CA.chain), "unsupported_media_type")


async def test_it_is_its_tenants_alone(owner: Any, path: str, base: str, new_tenant: Callable[..., Any]) -> None:
    await owner.client.put(path, json=body())
    stranger = new_tenant(base)
    for response in (
        await stranger.client.put(path, json=body()),
        await stranger.client.get(path),
        await stranger.client.delete(path),
        await owner.client.put(PATH.format(uuid4()), json=body()),
        await owner.client.get(PATH.format("x")),
    ):
        problem(response, "domain_not_found")
    assert (await owner.client.get(path)).json()["inUse"] == "uploaded"


async def test_uploads_an_hour_are_bounded_also_those_that_are_refused(
    serve: Serve, database: Database, uploads: Any, new_tenant: Callable[..., Any], control: asyncpg.Connection[Any]
) -> None:
    async with serve(database.api_dsn, uploads=lambda pool: uploads(pool, most=3)) as url:
        tenant = new_tenant(url)
        path = PATH.format((await tenant.add(HOST)).json()["id"])
        bad = {**body(), "privateKey": STRANGER.leaf.key_pem}
        answers = await asyncio.gather(*(tenant.client.put(path, json=bad) for _ in range(6)))
        assert sorted(answer.status_code for answer in answers) == [422, 422, 422, 429, 429, 429]
        refused = await tenant.client.put(path, json=body())
        problem(refused, "uploads_too_many")
        assert 3000 < int(refused.headers["retry-after"]) <= 3600
        other = new_tenant(url)
        assert (await other.client.put(path, json=body())).status_code == 404
        await control.execute("UPDATE upload_attempts SET at = at - interval '1 hour'")
        assert (await tenant.client.put(path, json=body())).status_code == 201


async def test_an_installation_without_a_place_for_keys_says_so(
    serve: Serve, database: Database, new_tenant: Callable[..., Any]
) -> None:
    async with serve(database.api_dsn) as url:
        tenant = new_tenant(url)
        path = PATH.format((await tenant.add(HOST)).json()["id"])
        problem(await tenant.client.get(path), "uploads_unavailable")
