"""Whom a good client certificate stands for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography import x509
from scenes.client_checks import (
    NEIGHBOUR,
    ROOT,
    Scene,
    auth,
    consumer,
    identity,
)

from core.client_identity import fingerprint_of

BOTH = (
    consumer(1, "subject", "CN=orders,O=Acme", "by-subject", "a"),
    consumer(2, "san", "dns:orders.test", "by-san", "b"),
)


@pytest.mark.parametrize(
    ("by", "found"),
    [
        (("san", "subject"), "by-san"),
        (("subject", "san"), "by-subject"),
        (("subject",), "by-subject"),
        (("fingerprint",), None),
        (("fingerprint", "san"), "by-san"),
    ],
)
def test_consumers_are_looked_up_in_the_order_that_the_domain_wants(by: tuple[str, ...], found: str | None) -> None:
    leaf = ROOT.issue("CN=orders,O=Acme", [x509.DNSName("other.test"), x509.DNSName("orders.test")])
    status, headers = Scene(auth(lookup=True, identity_by=by), consumers=BOTH).ask(leaf)
    assert (status, identity(headers).get("consumer")) == (200 if found else 403, found)


def test_a_fingerprint_names_one_certificate() -> None:
    leaf, alike = ROOT.issue("CN=orders"), ROOT.issue("CN=orders")
    known = consumer(1, "fingerprint", fingerprint_of(leaf.certificate))
    scene = Scene(auth(lookup=True), consumers=(known,))
    assert identity(scene.ask(leaf)[1])["consumer-id"] == known.id
    assert scene.ask(alike)[0] == 403


def test_a_mail_address_is_no_host_and_an_empty_subject_is_nobodys() -> None:
    scene = Scene(auth(lookup=True), consumers=(consumer(1, "san", "dns:a@b.test"), consumer(2, "subject", "")))
    assert scene.ask(ROOT.issue("", [x509.RFC822Name("a@b.test")]))[0] == 403


def test_another_tenants_consumers_are_not_looked_at() -> None:
    leaf = ROOT.issue("CN=orders")
    scene = Scene(auth(lookup=True))
    foreign = consumer(1, "subject", "CN=orders", tenant=NEIGHBOUR)
    scene.table.replace(replace(scene.edge(auth(lookup=True)), consumers={NEIGHBOUR: (foreign,)}))
    assert scene.ask(leaf)[0] == 403


@pytest.mark.parametrize(
    ("groups_from", "expected"),
    [(None, "a%2Cb,c%20d"), ("O", "Acme"), ("OU", "Ops,R%26D"), ("uri:spiffe://acme.test/group/", "one,two")],
)
def test_groups_are_the_consumers_or_the_certificates(groups_from: str | None, expected: str) -> None:
    names = [x509.UniformResourceIdentifier(f"spiffe://acme.test/{path}") for path in ("group/one", "x", "group/two")]
    leaf = ROOT.issue("CN=orders,OU=R&D,OU=Ops,O=Acme", names)
    known = consumer(1, "subject", "CN=orders,OU=R&D,OU=Ops,O=Acme", "orders", "a,b", "c d")
    scene = Scene(auth(lookup=True, groups_from=groups_from), consumers=(known,))
    assert identity(scene.ask(leaf)[1])["groups"] == expected.replace("%26", "&")


def test_without_a_lookup_groups_may_still_be_the_certificates() -> None:
    leaf = ROOT.issue("CN=orders,O=Acme")
    said = identity(Scene(auth(groups_from="O")).ask(leaf)[1])
    assert (said["groups"], said.get("consumer")) == ("Acme", None)
    assert "groups" not in identity(Scene(auth()).ask(leaf)[1])
