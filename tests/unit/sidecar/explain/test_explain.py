"""What stands in the way is named: the edge, services, Envoys that reject, certificates, names not in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from scenes.checks import DOMAINS, TENANTS
from scenes.client_certificates import HOUR, NOW, Authority, pem
from scenes.explained import Room

from core.service import Address, Service, UpstreamTls
from sidecar.directory.entry import Entry
from sidecar.edge.model import CLIENT_AUTH, SERVICE, ClientAuth, Consumer, Edge, Identity
from sidecar.explain import client_auth
from sidecar.explain.explain import LOADS_AT_ONCE, ExplainBusy
from sidecar.explain.question import Question, QuestionError, parse_question
from sidecar.xds.envoys import Holder
from sidecar.xds.types import CLUSTER, LISTENER, SECRET

HOST = "shop.mybrand.co"
CA = Authority.root("Clients", 1)
ADDRESSES = (Address("127.0.0.1", 8080),)
EDGE = Edge(services={"default": Service("default", ADDRESSES), "other": Service("other", ADDRESSES)})
AUTH = ClientAuth(DOMAINS[0], TENANTS[0], HOST, True, True, ("san",), None, CA.pem.encode(), pem(CA.crl(7)).encode())


def holder(version: str | None = "1", rejected: str | None = None, reason: str | None = None) -> Holder:
    return Holder(1, "edge-1", version, version, rejected, reason)


def ask(room: Room, host: str = HOST, sni: str | None = None) -> dict[str, Any]:
    return room.explain.explain(Question(host, host if sni is None else sni))


def codes(said: dict[str, Any]) -> list[str]:
    return [why["code"] for why in said["why"]]


def in_force(room: Room) -> Room:
    room.envoys.held[LISTENER, "https"] = [holder()]
    return room


def test_before_the_edge_is_loaded_nobody_is_served() -> None:
    said = ask(Room(edge=None))
    assert (said["served"], codes(said), said["service"]) == (False, ["unavailable"], None)
    assert said["decisions"]["request"]["status"] == 503


@pytest.mark.parametrize(
    ("edge", "name", "by"),
    [
        (EDGE, "default", "default"),
        (replace(EDGE, by_tenant={TENANTS[0]: "other"}), "other", "tenant"),
        (replace(EDGE, by_tenant={TENANTS[0]: "other"}, by_domain={DOMAINS[0]: "default"}), "default", "domain"),
    ],
)
def test_the_service_is_said_with_whose_choice_it_is(edge: Edge, name: str, by: str) -> None:
    service = ask(Room(edge=edge))["service"]
    assert (service["name"], service["from"], service["state"]) == (name, by, "configured")
    assert (service["cluster"], service["addresses"]) == (f"service/{name}", ["127.0.0.1:8080"])


def test_a_choice_that_waits_for_the_envoys_is_said_to_come() -> None:
    room = Room(edge=EDGE)
    assert ask(room)["service"]["next"] is None
    room.to_come.replace(replace(EDGE, by_tenant={TENANTS[0]: "other"}))
    service = ask(room)["service"]
    assert (service["name"], service["next"]) == ("default", "other")


def test_a_service_that_is_missing_left_out_or_rejected_is_no_service() -> None:
    assert codes(ask(in_force(Room()))) == ["service_unknown"]
    assert ask(Room())["served"] is True  # Envoys with a configuration of their own do not care
    said = ask(in_force(Room(edge=replace(EDGE, left_out={(SERVICE, "default"): "it is odd"}))))
    assert said["why"] == [{"code": "service_left_out", "message": "it is odd"}]
    room = in_force(Room(edge=EDGE))
    room.resources.left_out[SERVICE, "default"] = "there is no usable trust bundle default"
    assert ask(room)["why"] == [
        {"code": "service_left_out", "message": "there is no usable trust bundle default"},
    ]
    room = in_force(Room(edge=EDGE))
    room.envoys.held[CLUSTER, "service/default"] = [holder(), holder(None, "2", "no such filter")]
    said = ask(room)
    assert said["why"] == [{"code": "service_rejected", "message": "Envoy has rejected it: no such filter"}]
    assert said["service"]["envoys"][1]["rejected"] == {"version": "2", "reason": "no such filter"}


def test_an_envoy_that_rejects_what_it_needs_and_has_nothing_instead_serves_nobody() -> None:
    room = Room()
    room.envoys.held[SECRET, HOST] = [holder("1", "2", "odd"), holder(None, "2", "odd key")]
    assert ask(room)["why"] == [{"code": "certificate_rejected", "message": "edge-1 rejects it: odd key"}]
    room.envoys.held = {(LISTENER, "https"): [holder(None, "2", "odd port")]}
    assert "listener_rejected" in codes(ask(room))


def test_trust_and_identity_of_a_service_are_said_with_their_ends() -> None:
    tls = UpstreamTls("app.internal", ("app.internal",), "ours", "me")
    edge = Edge(
        services={"default": Service("default", ADDRESSES, tls=tls)},
        trust={"ours": CA.pem.encode()},
        identities={"me": Identity("me", "ab" * 32, 1, 2e9)},
    )
    shown = ask(Room(edge=edge))["service"]["tls"]
    assert shown["trust"]["cas"][0]["subject"] == "Clients"
    assert shown["identity"]["not_after"].startswith("2033-05-18")
    shown = ask(Room(edge=replace(edge, trust={}, identities={})))["service"]["tls"]
    assert shown["trust"]["cas"] == "There is no such bundle."
    assert shown["identity"] == {"name": "me", "not_after": None, "left_out": None}


def test_client_certificates_are_said_with_the_age_of_their_lists() -> None:
    consumer = Consumer("c", TENANTS[0], "robot", "san", "robot.test", ())
    edge = replace(EDGE, client_auth={DOMAINS[0]: AUTH}, consumers={TENANTS[0]: (consumer,)})
    room = Room(edge=edge)
    room.envoys.held[SECRET, f"client-ca/{DOMAINS[0]}"] = [holder()]
    said = ask(room)
    auth = said["client_auth"]
    assert (auth["mode"], auth["consumers"], auth["identity_by"], auth["reason"]) == ("required", 1, ["san"], None)
    assert auth["crls"][0] | {"issuer": None} == {
        "issuer": None,
        "since": (NOW - HOUR).isoformat(),
        "until": auth["crls"][0]["until"],
        "revoked": 1,
    }
    assert len(auth["envoys"]) == 1
    assert said["decisions"]["request"]["without_certificate"]["outcome"] == "client_certificate_missing"
    assert said["decisions"]["connection"]["passes"] is False
    optional = replace(edge, client_auth={DOMAINS[0]: replace(AUTH, required=False)})
    assert ask(Room(edge=optional))["decisions"]["request"]["without_certificate"]["passes"] is True
    unreadable = replace(edge, client_auth={DOMAINS[0]: replace(AUTH, ca_pem=b"odd")})
    assert ask(Room(edge=unreadable))["client_auth"]["reason"]


async def test_authorities_are_read_once_beside_the_loop_and_anew_when_they_change(monkeypatch) -> None:
    read: list[ClientAuth] = []
    monkeypatch.setattr(
        client_auth, "_trust", lambda wanted: read.append(wanted) or {"cas": [], "crls": [], "reason": None}
    )
    room = Room(edge=replace(EDGE, client_auth={DOMAINS[0]: AUTH}))
    for _ in range(3):
        assert (await room.explain.answer(Question(HOST, HOST)))["client_auth"]["mode"] == "required"
    assert read == [AUTH]
    changed = replace(AUTH, crl_pem=None)
    room.edges.replace(replace(EDGE, client_auth={DOMAINS[0]: changed}))
    await room.explain.answer(Question(HOST, HOST))
    assert read == [AUTH, changed]


def test_what_cannot_be_read_of_client_certificates_shuts_the_domain() -> None:
    said = ask(Room(edge=replace(EDGE, left_out={(CLIENT_AUTH, DOMAINS[0]): "its mode is odd"})))
    assert codes(said) == ["unavailable", "client_auth_left_out"]
    assert said["client_auth"] == {"mode": "shut", "reason": "its mode is odd"}


def test_a_name_that_is_not_in_memory_is_neither_served_nor_refused() -> None:
    said = ask(Room(complete=False), "miss.example")
    assert (said["served"], codes(said)) == (None, ["not_in_memory"])
    assert said["row"]["match"] == "not_in_memory"
    assert said["decisions"]["request"] == {"passes": None, "outcome": "pending", "needs": "the name"}


async def test_what_cannot_be_loaded_is_said_to_have_failed() -> None:
    said = await Room(complete=False).explain.answer(Question("miss.example", "miss.example", load=True))
    assert (said["served"], codes(said)) == (False, ["certificate_failed"])
    said = await Room().explain.answer(Question(HOST, HOST, load=True))
    assert said["certificate"]["last_failure"]["code"] == "vault_unavailable"


async def test_only_so_many_are_loaded_at_one_time() -> None:
    room = Room()
    room.explain._loading = LOADS_AT_ONCE
    with pytest.raises(ExplainBusy):
        await room.explain.answer(Question(HOST, HOST, load=True))
    assert (await room.explain.answer(Question(HOST, HOST)))["served"] is True


def test_an_sni_that_is_no_name_gets_nothing_least_of_all_what_upstreams_are_shown() -> None:
    room = Room(edge=replace(EDGE, identities={"default": Identity("default", "ab" * 32, 1, 2e9)}))
    for sni in ("upstream/default", "client-ca/x", "a..b", "192.0.2.1"):
        certificate = ask(room, sni=sni)["certificate"]
        assert (certificate["state"], certificate["why"]["code"]) == ("refused", "removed_invalid")


def test_a_stale_directory_does_not_refuse_what_it_does_not_know() -> None:
    room = Room()
    room.directory.fresh_for(0)
    said = ask(room, "nobody.example")
    assert said["directory"]["stale"] is True
    assert said["certificate"]["state"] == "failed"


def test_the_sni_is_the_hosts_unless_it_is_said() -> None:
    assert parse_question(b"host=SHOP.example:8443").sni == "shop.example"
    assert parse_question(b"host=192.0.2.1").sni == ""
    assert parse_question(b"host=shop.example&sni=").sni == ""
    with pytest.raises(QuestionError, match="which host"):
        parse_question(b"sni=shop.example")


@pytest.mark.parametrize(("uploaded", "version"), [(False, "ab" * 16 + ".1"), (True, "ab" * 16 + ".u1")])
def test_the_version_of_a_certificate_is_the_one_that_envoys_are_told(uploaded: bool, version: str) -> None:
    """Else an uploaded one would always seem not to have been taken."""
    tenant, domain = TENANTS[0], DOMAINS[0]
    entry = Entry(HOST, tenant, domain, True, "ab" * 32, 1, 2e9, platform=False, uploaded=uploaded)
    assert ask(Room([entry], edge=EDGE))["certificate"]["version"] == version
