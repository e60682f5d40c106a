"""No tenant takes the memory or the time of all: not by its settings, not by its clients, new or known."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from scenes.client_certificates import HOUR, NOW, pem
from scenes.client_checks import HOST, IDS, MIDDLE, NEIGHBOUR, ROOT, TENANT, WILD, Scene, auth, consumer, request

from sidecar.authz.allowance import BURST, RATE
from sidecar.authz.client import AGAIN, CHEAP, FREE, MAX_SHOWN, TO_CARRY, Client, Clients, shown
from sidecar.authz.client_trust import Trust
from sidecar.authz.refusal import UNAVAILABLE, Outcome, Refusal
from sidecar.edge.model import ClientAuth, Consumer, Edge
from sidecar.wire.check_pb2 import CheckRequest

LIST = pem(ROOT.crl()).encode()


class Work:
    """A processor whose time is what tests say that the two kinds of work take."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, reading: float, look: float) -> None:
        self.done = {"reading": 0.0, "look": 0.0}
        self.seconds = 0.0
        self.now = NOW.timestamp()
        self.clients = Clients(lambda: self.now, lambda: self.seconds)
        begin, examine = Trust.__init__, Trust.examine
        monkeypatch.setattr(Trust, "__init__", lambda *given: (self._take("reading", reading), begin(*given))[1])
        monkeypatch.setattr(Trust, "examine", lambda *given: (self._take("look", look), examine(*given))[1])

    def ask(self, settings: ClientAuth, certificate: bytes, forwarded: bytes = b"") -> Client | Refusal:
        host = settings.hostname.replace("*", "a")
        return self.clients.decide(Edge(), settings, host, host, certificate, forwarded)

    def _take(self, what: str, seconds: float) -> None:
        self.done[what] += seconds
        self.seconds += seconds


def leaf(number: int = 0) -> bytes:
    return quote(ROOT.issue(f"CN={number}").pem, safe="").encode()


def settings_of(change: int, **fields: Any) -> ClientAuth:
    """Others each time, of the same meaning."""
    return auth(crl_pem=LIST + b"\n" * change, **fields)


def test_settings_that_are_none_any_more_leave_nothing_behind() -> None:
    """Half a megabyte each, of which a tenant can make 60 a minute; each with a client who came by it once."""
    scene = Scene(auth())
    leaves = [ROOT.issue(f"CN={number}") for number in range(20)]
    known = "test_settings_that_are_none_any_more"
    for number, each in enumerate(leaves):
        asked = auth(crl_pem=LIST + f"# {known} {number}\n".encode(), lookup=True)
        scene.change(asked, consumers=(consumer(number, "subject", f"CN={number}", known),))
        assert scene.ask(each)[0] == 200
    del asked
    assert len(alive(ClientAuth, known)) == 1
    scene.change()
    assert alive(ClientAuth, known) == []
    assert len(scene.checker._answers._clients._verdicts) == len(leaves), "it is known yet who was cheap"


def alive(kind: type, known: str) -> list[ClientAuth]:
    gc.collect()
    return [one for one in gc.get_objects() if type(one) is kind and known.encode() in (one.crl_pem or b"")]


def test_consumers_that_are_none_any_more_leave_nothing_behind() -> None:
    """Of refused clients: who passes is kept with the consumer that it is."""
    scene = Scene(auth(lookup=True))
    for number in range(20):
        scene.change(auth(lookup=True), consumers=(consumer(number, "subject", "CN=x", "left behind"),))
        assert scene.outcome(ROOT.issue(f"CN={number}")) is Outcome.CLIENT_UNKNOWN
    gc.collect()
    left = [one for one in gc.get_objects() if type(one) is Consumer and one.name == "left behind"]
    assert len(left) == 1


def test_what_only_says_otherwise_whom_it_lets_in_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    begin = Trust.__init__
    monkeypatch.setattr(Trust, "__init__", lambda *given: (read.append("read"), begin(*given))[1])
    scene = Scene(auth())
    certificate = ROOT.issue("CN=a")
    for change in (auth(), auth(required=False), auth(lookup=True), auth(lookup=True, identity_by=("subject",))):
        scene.change(change, consumers=(consumer(1, "subject", "CN=a"),))
        assert scene.ask(certificate)[0] == 200
    assert len(read) == 1
    scene.change()
    scene.change(auth())
    assert scene.ask(certificate)[0] == 200
    assert len(read) == 2


def test_who_takes_turns_with_a_known_client_pays_for_the_settings_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever comes first after a change is the cheap one of before, and the other one is so after it."""
    work = Work(monkeypatch, reading=0.1, look=0.0003)
    pair = leaf(1), leaf(2)
    for change in range(100):
        for certificate in pair if change % 2 else reversed(pair):
            work.ask(settings_of(change), certificate)
        work.now += 0.1
    assert work.done["reading"] <= BURST + 10 * RATE + 0.1
    assert work.done["reading"] >= BURST + 9 * RATE, "it is not shut for good"


def test_reading_settings_has_an_allowance_that_no_client_can_spend(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client who makes certificates that take long does not keep its own revocation from being known."""
    work = Work(monkeypatch, reading=0.001, look=0.1)
    known = leaf(0)
    answers = [work.ask(auth(), leaf(number)) for number in range(9)]
    assert answers.count(UNAVAILABLE) > 3
    monkeypatch.undo()
    work.ask(settings_of(1), known)
    assert work.clients._examination is not None
    assert work.clients._examination.has_read(settings_of(1))


def test_domains_of_a_tenant_have_one_allowance_together_and_other_tenants_theirs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = Work(monkeypatch, reading=BURST + 0.1, look=0.0003)
    certificate = leaf()
    assert isinstance(work.ask(auth(), certificate), Client)
    assert work.ask(auth(WILD), certificate) is UNAVAILABLE
    assert isinstance(work.ask(auth(WILD, tenant_id=NEIGHBOUR), certificate), Client)


def test_known_clients_are_looked_at_again_at_once_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """400 of them, and a change a second, would be all of the processor; so many at one moment are let be."""
    look = CHEAP * 0.9
    work = Work(monkeypatch, reading=0.0, look=look)
    leaves = [leaf(number) for number in range(50)]
    for certificate in leaves:
        work.ask(settings_of(0), certificate)
        work.now += 1
    work.done["look"] = 0.0
    assert all(isinstance(work.ask(settings_of(1), certificate), Client) for certificate in leaves)
    for change in range(2, 102):
        for certificate in leaves:
            work.ask(settings_of(change), certificate)
        work.now += 1
    assert AGAIN <= work.done["look"] <= AGAIN + 101 * RATE + look


def test_one_tenants_clients_push_out_nothing_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.authz.client.KEPT", 8)
    monkeypatch.setattr("sidecar.authz.answers.KEPT_CLIENTS", 8)
    looks: list[object] = []
    examine = Trust.examine
    monkeypatch.setattr(Trust, "examine", lambda *given: looks.append(given[1]) or examine(*given))
    scene = Scene()
    victim = ROOT.issue("CN=victim")
    scene.table.replace(Edge(client_auth={IDS[HOST]: auth(tenant_id=NEIGHBOUR), IDS[WILD]: auth(WILD)}))
    assert scene.ask(victim)[0] == 200
    for number in range(40):
        scene.now += 1
        assert scene.ask(ROOT.issue(f"CN={number}"), "a.wild.example")[0] == 200
    assert scene.ask(victim)[0] == 200
    assert looks.count(victim.certificate) == 1


@pytest.mark.parametrize(
    ("octets", "expected"),
    [(MAX_SHOWN, Outcome.CLIENT_CERTIFICATE_UNTRUSTED), (MAX_SHOWN + 1, Outcome.CLIENT_HEADERS_TOO_LARGE)],
)
def test_a_chain_and_its_certificate_have_an_end(octets: int, expected: Outcome) -> None:
    clients = Clients(NOW.timestamp)
    certificate = leaf()
    answer = clients.decide(Edge(), auth(), HOST, HOST, b"x" * 100, b"y" * (octets - 100))
    assert answer.outcome is expected
    assert isinstance(clients.decide(Edge(), auth(), HOST, HOST, certificate, b""), Client)


def test_what_is_long_is_paid_for_each_time_and_what_is_not_is_free() -> None:
    now = NOW.timestamp()
    clients = Clients(lambda: now)
    long, short = b"y" * (MAX_SHOWN - 4096), b"y" * 4096
    settings, certificate = auth(), leaf()
    often = int(BURST / ((len(certificate) + len(long) - FREE) * TO_CARRY)) + 1

    def ask(forwarded: bytes, of: ClientAuth = settings) -> Client | Refusal:
        host = of.hostname.replace("*", "a")
        return clients.decide(Edge(), of, host, host, certificate, forwarded)

    assert not any(ask(long) is UNAVAILABLE for _ in range(often))
    assert ask(long) is UNAVAILABLE
    assert isinstance(ask(short), Client)
    assert ask(long, auth(WILD, tenant_id=NEIGHBOUR)) is not UNAVAILABLE
    now += 1
    assert not any(ask(long) is UNAVAILABLE for _ in range(100))


def test_an_honest_chain_is_far_from_all_of_these() -> None:
    """Four intermediate authorities; each certificate as long as one with RSA of 4,096 bits."""
    padding = "x" * 1300
    authority = ROOT
    for number in range(4):
        authority = authority.below(f"CN=Middle {number}", 10 + number)
    certificate, forwarded = shown(CheckRequest.FromString(request(authority.issue(), HOST, HOST)).attributes)
    long = len(certificate) + len(forwarded) + 6 * len(quote(padding, safe=""))
    assert len(certificate) + len(forwarded) < FREE
    assert long < MAX_SHOWN
    one = MIDDLE.issue()
    certificate, forwarded = shown(CheckRequest.FromString(request(one, HOST, HOST)).attributes)
    assert len(certificate) + len(forwarded) < FREE / 2


def test_settings_of_a_domain_that_is_gone_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(auth(), auth(WILD))
    certificate = ROOT.issue()
    assert (scene.ask(certificate)[0], scene.ask(certificate, "a.wild.example")[0]) == (200, 200)
    clients = scene.checker._answers._clients
    assert len(clients._asked) == len(clients._examination._trust) == 2
    scene.change(auth(WILD))
    assert len(clients._asked) + len(clients._examination._trust) <= 1 + 1
    scene.change(replace(auth(WILD), tenant_id=TENANT), consumers=(consumer(1, "subject", "CN=a"),))
    assert scene.ask(certificate, "a.wild.example")[0] == 200
    scene.now += HOUR.total_seconds()
    assert scene.ask(certificate, "a.wild.example")[0] == 200
