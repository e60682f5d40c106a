"""Who passes where a domain asks for client certificates, and why others do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import pytest
from cryptography import x509
from scenes.client_certificates import HOUR, NOW, Leaf, pem
from scenes.client_checks import (
    HOST,
    MIDDLE,
    OTHER,
    ROOT,
    TENANT,
    Scene,
    auth,
    consumer,
    identity,
    request,
)

from core.client_identity import fingerprint_of
from sidecar.authz.client import MAX_SHOWN, shown
from sidecar.authz.refusal import Outcome
from sidecar.wire.check_pb2 import CheckRequest, CheckResponse


def test_a_good_certificate_passes_and_says_who_it_is() -> None:
    names = [x509.DNSName("Orders.acme.test"), x509.UniformResourceIdentifier("spiffe://acme.test/orders,1")]
    leaf = ROOT.issue("CN=Bücher 100%,O=Acme", names)
    status, headers = Scene(auth()).ask(leaf)
    assert status == 200
    assert headers["x-tenant-id"] == TENANT
    said = identity(headers)
    assert said.pop("client-fingerprint") == fingerprint_of(leaf.certificate)
    assert said == {
        "client-subject": "CN=B%C3%BCcher%20100%25,O=Acme",
        "client-san": "dns:orders.acme.test,uri:spiffe://acme.test/orders%2C1",
    }
    assert unquote(headers["x-nameplate-client-subject"]) == "CN=Bücher 100%,O=Acme"


def test_a_certificate_below_an_intermediate_passes_by_the_chain_that_the_client_sent() -> None:
    scene = Scene(auth())
    leaf = MIDDLE.issue()
    assert scene.ask(leaf)[0] == 200
    assert scene.ask(leaf, chain=False)[0] == 403
    assert scene.ask(leaf)[0] == 200


def test_only_the_certificate_of_the_connection_counts_whatever_the_header_says() -> None:
    scene = Scene(auth())
    good, bad = ROOT.issue("CN=good"), OTHER.issue("CN=bad")
    lying = replace(bad, chain=(good.certificate, ROOT.certificate, OTHER.certificate))
    assert scene.ask(lying)[0] == 403
    forged = CheckRequest.FromString(request(good, HOST, HOST))
    forged.attributes.source.certificate = b""
    answer = CheckResponse.FromString(scene.checker.check(forged.SerializeToString()))
    assert answer.denied_response.status.code == 421


def test_who_needs_no_certificate_passes_as_nobody() -> None:
    scene = Scene(auth(required=False))
    status, headers = scene.ask(None)
    assert (status, identity(headers)) == (200, {})
    assert identity(scene.ask(ROOT.issue("CN=a"))[1])["client-subject"] == "CN=a"
    assert scene.outcome(OTHER.issue()) is Outcome.CLIENT_CERTIFICATE_UNTRUSTED


def test_who_shows_one_must_be_a_consumer_also_where_none_is_needed() -> None:
    scene = Scene(auth(required=False, lookup=True), consumers=(consumer(1, "subject", "CN=a"),))
    assert identity(scene.ask(None)[1]) == {}
    assert identity(scene.ask(ROOT.issue("CN=a"))[1])["consumer"] == "orders"
    assert scene.outcome(ROOT.issue("CN=b")) is Outcome.CLIENT_UNKNOWN


@pytest.mark.parametrize(
    ("settings", "leaf", "expected"),
    [
        ({}, None, Outcome.CLIENT_CERTIFICATE_MISSING),
        ({}, OTHER.issue(), Outcome.CLIENT_CERTIFICATE_UNTRUSTED),
        ({}, ROOT.issue(until=NOW - HOUR, since=NOW - 2 * HOUR), Outcome.CLIENT_CERTIFICATE_EXPIRED),
        ({}, ROOT.issue(since=NOW + HOUR), Outcome.CLIENT_CERTIFICATE_EXPIRED),
        ({"crl_pem": pem(ROOT.crl(until=NOW)).encode()}, ROOT.issue(), Outcome.CLIENT_CRL_STALE),
        ({"lookup": True}, ROOT.issue(), Outcome.CLIENT_UNKNOWN),
        ({"ca_pem": b"nothing"}, ROOT.issue(), Outcome.UNAVAILABLE),
        ({"ca_pem": b"\xff"}, ROOT.issue(), Outcome.UNAVAILABLE),
        ({"crl_pem": b"nothing"}, ROOT.issue(), Outcome.UNAVAILABLE),
    ],
)
def test_who_is_refused_is_told_why(settings: dict[str, Any], leaf: Leaf | None, expected: Outcome) -> None:
    assert Scene(auth(**settings)).outcome(leaf) is expected


def test_a_revoked_certificate_is_refused() -> None:
    leaf = ROOT.issue()
    assert Scene(auth(crl_pem=pem(ROOT.crl(leaf.serial)).encode())).outcome(leaf) is Outcome.CLIENT_CERTIFICATE_REVOKED


def test_certificates_that_are_none_are_refused() -> None:
    scene = Scene(auth())
    for certificate in (b"\xff", b"-----BEGIN%20CERTIFICATE-----", b"%", b"x" * MAX_SHOWN, b"\0"):
        made = CheckRequest.FromString(request(None, HOST, HOST))
        made.attributes.source.certificate = certificate
        answer = CheckResponse.FromString(scene.checker.check(made.SerializeToString()))
        assert answer.denied_response.status.code == 403


def test_a_certificate_that_says_more_than_a_request_carries_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is told of it and the chain count together, since Envoy has both among the request's headers."""
    leaf = MIDDLE.issue("CN=a", [x509.DNSName(f"{number}.test") for number in range(20)])
    _, headers = Scene(auth()).ask(leaf)
    said = sum(len(f"x-nameplate-{key}{value}") for key, value in identity(headers).items())
    forwarded = len(shown(CheckRequest.FromString(request(leaf, HOST, HOST)).attributes)[1])
    for most, expected in ((said + forwarded, Outcome.OK), (said + forwarded - 1, Outcome.CLIENT_HEADERS_TOO_LARGE)):
        monkeypatch.setattr("sidecar.authz.client_examination.CARRIED", most)
        assert Scene(auth()).outcome(leaf) is expected
    assert Scene(auth()).ask(leaf)[0] == 431


def test_a_chain_that_is_too_long_to_be_looked_at_is_refused() -> None:
    made = CheckRequest.FromString(request(None, HOST, HOST))
    made.attributes.source.certificate = b"x" * (MAX_SHOWN + 1)
    answer = CheckResponse.FromString(Scene(auth()).checker.check(made.SerializeToString()))
    assert answer.denied_response.status.code == 431
