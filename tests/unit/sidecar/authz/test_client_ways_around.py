"""Every way to a domain that asks for client certificates: no hole."""

from __future__ import annotations

import pytest
from scenes import checks
from scenes.client_checks import (
    HOST,
    IDS,
    NEIGHBOUR,
    PLAIN,
    ROOT,
    WILD,
    Scene,
    auth,
    entry,
    identity,
)

from sidecar.authz.refusal import Outcome
from sidecar.edge.model import CLIENT_AUTH, Edge
from sidecar.extproc.processor import Processor
from sidecar.wire.process_pb2 import ProcessingResponse


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize(
    ("host", "sni"),
    [
        (HOST, PLAIN),  # its content over another name's connection
        (HOST, ""),
        (HOST, "acme.platform.io"),
        (HOST, "a.wild.example"),
        ("a.wild.example", "b.wild.example"),  # the same wildcard row, the same certificate
        ("a.wild.example", "own.wild.example"),
        (HOST + ".", PLAIN),
        (HOST.upper(), PLAIN),
    ],
)
def test_no_other_names_connection_leads_to_it(host: str, sni: str, required: bool) -> None:
    scene = Scene(auth(required=required), auth(WILD, required=required))
    for leaf in (None, ROOT.issue()):
        assert scene.ask(leaf, host, sni)[0] == 421


@pytest.mark.parametrize("host", [PLAIN, "acme.platform.io", "own.wild.example", "a.wild.example"])
def test_its_connection_leads_to_no_other_name(host: str) -> None:
    scene = Scene(auth(), auth(WILD))
    assert scene.ask(ROOT.issue(), host, HOST)[0] == 421


def test_a_name_of_its_own_under_a_wildcard_is_not_asked_for_a_certificate() -> None:
    status, headers = Scene(auth(WILD)).ask(None, "own.wild.example")
    assert (status, headers["x-tenant-id"], identity(headers)) == (200, NEIGHBOUR, {})


def test_a_wildcard_asks_each_name_for_a_connection_of_its_own() -> None:
    scene = Scene(auth(WILD))
    assert scene.ask(ROOT.issue(), "a.wild.example")[0] == 200
    assert scene.outcome(None, "a.wild.example") is Outcome.CLIENT_CERTIFICATE_MISSING


@pytest.mark.parametrize("spelling", [HOST.upper(), HOST + ":8443", HOST + ".", "Api.MyBrand.co"])
def test_the_host_may_be_spelt_as_elsewhere(spelling: str) -> None:
    scene = Scene(auth())
    assert scene.ask(ROOT.issue(), spelling, HOST)[0] == 200
    assert scene.ask(ROOT.issue(), HOST, HOST.upper())[0] == 200
    assert scene.ask(None, spelling, HOST)[0] == 421


def test_a_chain_that_is_not_there_yet_lets_nobody_in() -> None:
    """The default chain serves the SNI meanwhile, and when it was just removed too: it asks for no certificate."""
    assert Scene(auth()).outcome(None) is Outcome.CLIENT_CERTIFICATE_MISSING


def test_an_edge_that_does_not_know_yet_lets_nobody_in() -> None:
    scene = Scene()
    assert scene.outcome(ROOT.issue()) is Outcome.UNAVAILABLE
    scene.change(auth())
    assert scene.ask(ROOT.issue())[0] == 200


def test_a_directory_that_does_not_know_yet_lets_nobody_in() -> None:
    scene = Scene(auth())
    scene.names.entries[HOST] = entry(HOST, client_auth=False)
    assert scene.outcome(None) is Outcome.CLIENT_CERTIFICATE_MISSING


def test_settings_that_were_left_out_let_nobody_in() -> None:
    scene = Scene()
    scene.table.replace(Edge(left_out={(CLIENT_AUTH, IDS[HOST]): "unreadable"}))
    assert scene.outcome(ROOT.issue()) is Outcome.UNAVAILABLE
    scene.names.entries[HOST] = entry(HOST, client_auth=False)
    assert scene.outcome(ROOT.issue()) is Outcome.UNAVAILABLE


def test_an_answer_from_before_is_not_kept() -> None:
    scene = Scene()
    scene.names.entries[HOST] = entry(HOST, client_auth=False)
    assert scene.ask(None)[0] == 200
    scene.change(auth())
    assert scene.ask(None)[0] == 421
    scene.change()
    assert scene.ask(None)[0] == 200


@pytest.mark.parametrize("required", [True, False])
def test_the_connection_lane_does_not_take_it(required: bool) -> None:
    for scene in (Scene(auth(required=required)), Scene()):
        assert scene.checker.check(checks.connection_request(HOST)) == scene.checker.check(b"")
        assert scene.checker.stats()[Outcome.CONNECTION_REFUSED] == 2


def test_ext_proc_cannot_see_a_certificate_and_refuses() -> None:
    scene = Scene(auth(), auth(WILD, required=False))
    processor: Processor[bytes] = Processor(scene.names, checks.Tokens(), scene.table, bytes)

    def status(host: str, sni: str) -> int:
        answer = processor.check(checks.processing_request(host, b"/", sni))
        assert isinstance(answer, bytes)
        response = ProcessingResponse.FromString(answer)
        return response.immediate_response.status.code or 200

    assert status(HOST, HOST) == 421
    assert status(HOST, PLAIN) == 421
    assert status("a.wild.example", "a.wild.example") == 200
    assert status("a.wild.example", "b.wild.example") == 421
