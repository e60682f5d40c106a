"""What a domain cannot ask of its clients, and what a tenant has no room for."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from scenes.asking import OTHER, ROOT, body, problem
from scenes.client_certificates import HOUR, NOW, Authority, pem
from scenes.hierarchy import issue

from api.client_auth import CHAIN_WEIGHT, LOOK_WEIGHT, MAX_ASKING, MAX_CHANGES
from api.client_auth_resource import MAX_BODY
from core.client_auth import MAX_AUTHORITIES, MAX_CA_SIZE, MAX_CRL_SIZE


def padding(size: int) -> tuple[x509.ExtensionType, bool]:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), bytes(size)), False


def unbroken(text: str) -> str:
    """PEM on one line, as it may be sent. It is stored with line breaks, so what just fits no longer does."""
    head, *lines, foot = text.splitlines()
    one = "\n".join([head, "".join(lines), foot])
    most = MAX_CA_SIZE if "CERTIFICATE" in head else MAX_CRL_SIZE
    assert len(one) <= most < len(text)
    return one


def slow_authority() -> str:
    """Its public exponent is as long as its modulus, so that verifying takes as long as signing, and longer."""
    numbers = rsa.generate_private_key(65537, 2048).private_numbers()
    public = rsa.RSAPublicNumbers(numbers.d, numbers.public_numbers.n)
    crt = (numbers.dmp1, numbers.dmq1, numbers.iqmp)
    odd = rsa.RSAPrivateNumbers(numbers.p, numbers.q, numbers.public_numbers.e, *crt, public)
    return issue("Slow", ca=True, key=odd.private_key(unsafe_skip_rsa_key_validation=True)).pem


@pytest.mark.parametrize(
    ("given", "code", "pointer"),
    [
        ({"mode": "sometimes"}, "mode_unknown", "/mode"),
        ({"identifyBy": []}, "identify_by_invalid", "/identifyBy"),
        ({"identifyBy": ["san", "san"]}, "identify_by_invalid", "/identifyBy"),
        ({"identifyBy": ["mail"]}, "identify_by_invalid", "/identifyBy"),
        ({"identifyBy": [["san"]]}, "identify_by_invalid", "/identifyBy"),
        ({"groupsFrom": "CN"}, "groups_from_invalid", "/groupsFrom"),
        ({"groupsFrom": "uri:"}, "groups_from_invalid", "/groupsFrom"),
        ({"skipConsumerLookup": "yes"}, "wrong_type", "/skipConsumerLookup"),
        ({"caCertificates": ""}, "ca_unreadable", "/caCertificates"),
        ({"caCertificates": "\0"}, "ca_unreadable", "/caCertificates"),
        ({"caCertificates": ROOT.pem[:-40]}, "ca_unreadable", "/caCertificates"),
        ({"caCertificates": ROOT.pem + ROOT.issue().key_pem}, "ca_unreadable", "/caCertificates"),
        ({"caCertificates": ROOT.issue().pem}, "ca_is_a_leaf", "/caCertificates"),
        ({"caCertificates": ROOT.pem + ROOT.issue().pem}, "ca_is_a_leaf", "/caCertificates"),
        ({"caCertificates": Authority.root("E", 9, until=NOW - HOUR).pem}, "ca_expired", "/caCertificates"),
        ({"caCertificates": "x" * (MAX_CA_SIZE + 1)}, "ca_too_large", "/caCertificates"),
        ({"caCertificates": unbroken(ROOT.below("Long", 2, extensions=[padding(48_450)]).pem)}, "ca_too_large", None),
        ({"caCertificates": slow_authority()}, "ca_unsupported", "/caCertificates"),
        ({"crl": ""}, "crl_unreadable", "/crl"),
        ({"crl": ROOT.pem}, "crl_unreadable", "/crl"),
        ({"crl": pem(ROOT.crl()) + ROOT.pem}, "crl_unreadable", "/crl"),
        ({"crl": pem(ROOT.crl(until=NOW - HOUR / 2))}, "crl_stale", "/crl"),
        ({"crl": pem(ROOT.crl(since=NOW + HOUR))}, "crl_stale", "/crl"),
        ({"crl": pem(OTHER.crl())}, "crl_unrelated", "/crl"),
        ({"crl": pem(ROOT.crl()), "caCertificates": ROOT.pem + OTHER.pem}, "crl_missing", "/crl"),
        ({"crl": "x" * (MAX_CRL_SIZE + 1)}, "crl_too_large", "/crl"),
        ({"crl": unbroken(pem(ROOT.crl(extensions=[padding(392_500)])))}, "crl_too_large", "/crl"),
        ({"mode": "required", "more": 1}, "unknown_field", "/more"),
    ],
)
async def test_what_cannot_be_used_is_refused_and_changes_nothing(
    tenant: Any, path: str, given: dict[str, Any], code: str, pointer: str | None
) -> None:
    await tenant.client.put(path, json=body(OTHER))
    problem(await tenant.client.put(path, json=body() | given), code, pointer)
    assert (await tenant.client.get(path)).json()["caCertificates"] == OTHER.pem


async def test_too_many_authorities_and_too_long_a_body_are_refused(tenant: Any, path: str) -> None:
    namesakes = [Authority.root("Root", 100 + number) for number in range(5)]
    problem(await tenant.client.put(path, json=body(*namesakes)), "ca_too_large")
    assert (await tenant.client.put(path, json=body(*namesakes[1:]))).status_code == 201
    many = [Authority.root(f"Root {number}", 1) for number in range(MAX_AUTHORITIES + 1)]
    problem(await tenant.client.put(path, json=body(*many)), "ca_too_large")
    assert (await tenant.client.put(path, json=body(*many[1:]))).status_code == 200
    problem(await tenant.client.put(path, json=body(crl="x" * MAX_BODY)), "body_too_large")


async def test_a_tenant_has_so_much_room_for_all_its_domains(
    tenant: Any, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control.client_auth.tenant.MAX_TENANT_SIZE", len(ROOT.pem) + 10)
    # The server is in this process, in another thread.
    assert (await tenant.client.put(path, json=body())).status_code == 201
    assert (await tenant.client.put(path, json=body(mode="optional"))).status_code == 200
    second = (await tenant.add("other.example.com")).json()["id"]
    problem(await tenant.client.put(f"/domains/{second}/client-auth", json=body()), "client_auth_limit_reached")


MORE = """WITH made AS (
        INSERT INTO custom_domains (tenant_id, hostname, verification_token, verify_deadline)
        SELECT $1, 'more-' || n || '.example.com', 'token', now() + interval '72 hours'
        FROM generate_series(1, $2::int) n
        RETURNING id)
    INSERT INTO client_auth (domain_id, mode, lookup, identity_by, ca_pem, ca_until)
        SELECT id, 'required', true, '{san}', 'pem', now() + interval '90 days' FROM made"""


async def test_so_many_of_a_tenants_domains_may_ask(
    tenant: Any, other: Any, path: str, control: asyncpg.Connection[Any]
) -> None:
    second = f"/domains/{(await tenant.add('other.example.com')).json()['id']}/client-auth"
    await control.execute(MORE, tenant.id, MAX_ASKING - 1)
    assert (await tenant.client.put(path, json=body())).status_code == 201
    problem(await tenant.client.put(second, json=body()), "client_auth_limit_reached")
    assert (await tenant.client.put(path, json=body(mode="optional"))).status_code == 200
    theirs = f"/domains/{(await other.add('theirs.example.com')).json()['id']}/client-auth"
    assert (await other.client.put(theirs, json=body())).status_code == 201, "each tenant has its own hundred"
    assert (await tenant.client.delete(path)).status_code == 204
    assert (await tenant.client.put(second, json=body())).status_code == 201


async def test_so_many_domains_of_all_tenants_may_ask(
    tenant: Any, other: Any, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control.client_auth.tenant.MAX_PLATFORM_ASKING", 1)
    theirs = f"/domains/{(await other.add('theirs.example.com')).json()['id']}/client-auth"
    assert (await tenant.client.put(path, json=body())).status_code == 201
    problem(await other.client.put(theirs, json=body()), "platform_limit_reached")
    changed = await tenant.client.put(path, json=body(mode="optional"))
    assert changed.status_code == 200, "who asks already may go on changing it"
    assert (await tenant.client.delete(path)).status_code == 204
    assert (await other.client.put(theirs, json=body())).status_code == 201


async def test_what_is_sent_counts_whatever_comes_of_it_and_is_not_looked_at_beyond_that(
    tenant: Any, path: str, control: asyncpg.Connection[Any]
) -> None:
    """Of a domain that nobody has, nothing is looked at."""
    bad = body(caCertificates="words")
    problem(await tenant.client.put(f"/domains/{uuid4()}/client-auth", json=bad), "domain_not_found")
    assert (await tenant.client.put(path, json=body())).status_code == 201
    for answer in (await tenant.client.put(path, json=bad), await tenant.client.put(path, json=body())):
        assert answer.status_code in (422, 200)
    weights = await control.fetch("SELECT weight FROM client_auth_changes ORDER BY id")
    assert [row["weight"] for row in weights] == [LOOK_WEIGHT, CHAIN_WEIGHT, LOOK_WEIGHT, LOOK_WEIGHT]
    await control.execute("UPDATE client_auth_changes SET weight = $1", MAX_CHANGES)
    for given in (bad, body()):
        problem(await tenant.client.put(path, json=given), "client_auth_changes_too_many")
