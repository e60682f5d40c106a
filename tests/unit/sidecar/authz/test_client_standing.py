"""What was found of a client certificate holds until its settings, the consumers or the clock have it otherwise."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

import pytest
from cryptography import x509
from scenes.client_certificates import HOUR, NOW, pem
from scenes.client_checks import (
    HOST,
    IDS,
    NEIGHBOUR,
    OTHER,
    ROOT,
    WILD,
    Scene,
    auth,
    consumer,
    identity,
)

from core.client_identity import fingerprint_of
from sidecar.authz.client import KEPT, Clients
from sidecar.authz.client_trust import Trust
from sidecar.authz.refusal import Outcome
from sidecar.edge.model import ClientAuth, Edge


def test_each_request_is_held_against_the_authorities_of_now() -> None:
    scene = Scene(auth())
    old, new = ROOT.issue(), OTHER.issue()
    assert (scene.ask(old)[0], scene.ask(new)[0]) == (200, 403)
    scene.change(auth(ca_pem=(ROOT.pem + OTHER.pem).encode()))
    assert (scene.ask(old)[0], scene.ask(new)[0]) == (200, 200)
    scene.change(auth(ca_pem=OTHER.pem.encode()))
    assert (scene.ask(old)[0], scene.ask(new)[0]) == (403, 200)


def test_each_request_is_held_against_the_list_of_now() -> None:
    leaf = ROOT.issue()
    scene = Scene(auth(crl_pem=pem(ROOT.crl()).encode()))
    assert scene.ask(leaf)[0] == 200
    scene.change(auth(crl_pem=pem(ROOT.crl(leaf.serial)).encode()))
    assert scene.ask(leaf)[0] == 403
    scene.change(auth(crl_pem=pem(ROOT.crl()).encode()))
    assert scene.ask(leaf)[0] == 200


def test_each_request_is_held_against_the_clock() -> None:
    leaf = ROOT.issue(until=NOW + HOUR)
    scene = Scene(auth(crl_pem=pem(ROOT.crl(until=NOW + HOUR / 2)).encode()))
    assert scene.ask(leaf)[0] == 200
    scene.now += HOUR.total_seconds() / 2
    assert scene.outcome(leaf) is Outcome.CLIENT_CRL_STALE
    scene.change(auth(crl_pem=pem(ROOT.crl(until=NOW + 2 * HOUR)).encode()))
    assert scene.ask(leaf)[0] == 200
    scene.now += HOUR.total_seconds() / 2 + 1
    assert scene.outcome(leaf) is Outcome.CLIENT_CERTIFICATE_EXPIRED
    scene.now -= HOUR.total_seconds()
    assert scene.ask(leaf)[0] == 200


def test_each_request_is_held_against_the_consumers_of_now() -> None:
    leaf = ROOT.issue("CN=orders")
    scene = Scene(auth(lookup=True))
    assert scene.outcome(leaf) is Outcome.CLIENT_UNKNOWN
    scene.change(auth(lookup=True), consumers=(consumer(1, "subject", "CN=orders"),))
    assert identity(scene.ask(leaf)[1])["consumer"] == "orders"
    scene.change(auth(lookup=True), consumers=())
    assert scene.outcome(leaf) is Outcome.CLIENT_UNKNOWN


def test_nothing_is_read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    examine = Trust.examine
    monkeypatch.setattr(Trust, "examine", lambda *given: looks.append("look") or examine(*given))
    good, bad = ROOT.issue(), OTHER.issue()
    scene = Scene(auth())
    for _ in range(3):
        assert (scene.ask(good)[0], scene.ask(bad)[0]) == (200, 403)
    assert len(looks) == 2
    scene.change(auth(), consumers=(consumer(1, "subject", "CN=a"),))
    scene.ask(good)
    assert len(looks) == 3


def test_what_is_told_of_a_client_is_kept_as_long_as_it_is_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.authz.answers.KEPT_CLIENTS", 3)
    leaves = [ROOT.issue(f"CN={number}") for number in range(4)]
    scene = Scene(auth(), auth(WILD))
    for _ in range(3):
        for leaf in leaves:
            for host in (HOST, "a.wild.example"):
                status, headers = scene.ask(leaf, host)
                assert status == 200
                assert identity(headers)["client-fingerprint"] == fingerprint_of(leaf.certificate)
                assert headers["x-nameplate-host"] == (HOST if host == HOST else WILD)
    assert len(scene.checker._answers._told) == 3
    known = (consumer(1, "subject", "CN=3", "first"), consumer(1, "subject", "CN=3", "second"))
    for one in known:
        scene.change(auth(lookup=True), consumers=(one,))
        assert identity(scene.ask(leaves[3])[1])["consumer"] == one.name
    scene.table.replace(replace(scene.edge(auth()), by_domain={IDS[HOST]: "other"}))
    assert scene.ask(leaves[3])[1]["x-nameplate-cluster"] == "service/other"


def test_what_is_kept_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    assert KEPT >= 1000
    monkeypatch.setattr("sidecar.authz.client.KEPT", 2)
    monkeypatch.setattr("sidecar.authz.client_examination.KEPT_DOMAINS", 1)
    clients = Clients(NOW.timestamp)
    edge = Edge()
    leaves = [quote(ROOT.issue().pem, safe="").encode() for _ in range(3)]
    for leaf in leaves * 2:
        for one in (auth(), auth(WILD)):
            host = one.hostname.replace("*", "a")
            assert not hasattr(clients.decide(edge, one, host, host, leaf, b""), "status")
    assert len(clients._verdicts) == 2
    assert len(clients._examination._trust) == 1


def test_clients_of_many_names_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.authz.answers.KEPT_OCTETS", 40_000)
    monkeypatch.setattr("sidecar.authz.client.KEPT_OCTETS", 40_000)
    scene = Scene(auth())
    leaves = [
        ROOT.issue(f"CN={number}", [x509.UniformResourceIdentifier(f"u:{number}{'%' * 200}") for number in range(20)])
        for number in range(5)
    ]
    for leaf in leaves * 2:
        status, headers = scene.ask(leaf)
        assert status == 200
        assert len(headers["x-nameplate-client-san"]) > 12_000
    assert len(scene.checker._answers._told) == 3
    assert len(scene.checker._answers._clients._verdicts) == 3


def test_a_tenant_whose_clients_take_too_long_has_the_next_ones_wait_and_nobody_else() -> None:
    """Those that are known already pass."""
    worked = iter(range(0, 1000, 2))
    now = NOW.timestamp()
    clients = Clients(lambda: now, lambda: next(worked))
    first, second = (quote(ROOT.issue().pem, safe="").encode() for _ in range(2))
    mine, other = auth(), auth(WILD, tenant_id=NEIGHBOUR)

    def status(of: ClientAuth, leaf: bytes) -> int:
        host = of.hostname.replace("*", "a")
        return getattr(clients.decide(Edge(), of, host, host, leaf, b""), "status", 200)

    assert [status(mine, first), status(mine, second), status(mine, first), status(other, second)] == [
        200,
        503,
        200,
        200,
    ]
    now += 60
    assert status(mine, second) == 200


def test_when_settings_change_who_was_cheap_is_looked_at_again_at_once() -> None:
    worked = iter([0.0, 0.0, 0.0, 0.001, 1.0, 9.0, 10.0, 10.001])
    clients = Clients(NOW.timestamp, lambda: next(worked))
    cheap, dear = (quote(ROOT.issue().pem, safe="").encode() for _ in range(2))
    before, after = auth(), auth(lookup=True, identity_by=("subject",))

    def outcome(of: ClientAuth, leaf: bytes) -> Outcome | None:
        return getattr(clients.decide(Edge(), of, HOST, HOST, leaf, b""), "outcome", None)

    assert [outcome(before, cheap), outcome(before, dear)] == [None, None]
    assert [outcome(after, cheap), outcome(after, dear)] == [Outcome.CLIENT_UNKNOWN, Outcome.UNAVAILABLE]
