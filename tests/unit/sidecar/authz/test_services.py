"""Where a request goes, and that nothing passes while nobody knows: the edge's part in a check."""

from __future__ import annotations

import pytest
from scenes.checks import (
    DOMAINS,
    TENANTS,
    Names,
    Tokens,
    check_request,
    connection_request,
    processing_request,
)
from scenes.edges import change, edges, sample

from sidecar.authz.check import Checker
from sidecar.authz.policy import Pending
from sidecar.edge.model import CLIENT_AUTH, Edge
from sidecar.edge.table import EdgeTable
from sidecar.extproc.processor import Processor
from sidecar.wire.check_pb2 import CheckResponse
from sidecar.wire.process_pb2 import ProcessingResponse

HOST, OTHER_HOST, SUBDOMAIN = "shop.mybrand.co", "other.mybrand.co", "acme.platform.io"


def asked(checker: Checker[bytes], host: str) -> CheckResponse:
    reply = checker.check(check_request(host, b"/", host))
    assert isinstance(reply, bytes)
    return CheckResponse.FromString(reply)


def processed(processor: Processor[bytes], host: str) -> ProcessingResponse:
    reply = processor.check(processing_request(host, b"/", host))
    assert isinstance(reply, bytes)
    return ProcessingResponse.FromString(reply)


def cluster(table: EdgeTable, host: str) -> str:
    """What both protocols say, and say again."""
    checker, processor = Checker(Names(), Tokens(), table, bytes), Processor(Names(), Tokens(), table, bytes)
    found = set()
    for _ in range(2):
        headers = {option.header.key: option.header.value for option in asked(checker, host).ok_response.headers}
        found.add(headers["x-nameplate-cluster"])
        mutation = processed(processor, host).request_headers.response.header_mutation
        raw = {option.header.key: option.header.raw_value for option in mutation.set_headers}
        found.add(raw["x-nameplate-cluster"].decode())
    (said,) = found
    return said


def status(reply: bytes | Pending) -> int:
    assert isinstance(reply, bytes)
    return CheckResponse.FromString(reply).denied_response.status.code


@pytest.mark.parametrize(
    ("edge", "service"),
    [
        (Edge(), "default"),
        (Edge(by_tenant={TENANTS[0]: "shop"}), "shop"),
        (Edge(by_tenant={TENANTS[0]: "shop"}, by_domain={DOMAINS[0]: "own"}), "own"),
        (Edge(by_tenant={TENANTS[1]: "shop"}, by_domain={DOMAINS[1]: "own"}), "default"),
    ],
)
def test_a_request_goes_to_its_domains_service_or_else_its_tenants_or_else_the_default(
    edge: Edge, service: str
) -> None:
    assert cluster(edges(edge), HOST) == f"service/{service}"


def test_a_platform_subdomain_goes_to_its_tenants_service() -> None:
    edge = Edge(by_tenant={TENANTS[0]: "shop"}, by_domain={DOMAINS[0]: "own"})
    assert cluster(edges(edge), SUBDOMAIN) == "service/shop"


def test_a_kept_answer_goes_when_the_edge_changes() -> None:
    table = edges()
    checker, processor = Checker(Names(), Tokens(), table, bytes), Processor(Names(), Tokens(), table, bytes)
    for service in ("a", "b", "a"):
        table.replace(Edge(by_tenant={TENANTS[0]: service}))
        for _ in range(2):
            assert f"service/{service}" in str(asked(checker, HOST))
            assert f"service/{service}" in str(processed(processor, HOST))


def test_a_hit_is_answered_without_looking_at_the_edge() -> None:
    """What the hit path costs does not depend on it."""
    table = edges()
    checker = Checker(Names(), Tokens(), table, bytes)
    first = checker.check(check_request(HOST, b"/", HOST))
    table.current = None  # nobody is told, so nobody may notice
    assert checker.check(check_request(HOST, b"/", HOST)) is first


def test_a_connection_is_told_the_cluster() -> None:
    checker = Checker(Names(), Tokens(), edges(Edge(by_domain={DOMAINS[1]: "own"})), bytes)
    reply = checker.check(connection_request(OTHER_HOST))
    assert isinstance(reply, bytes)
    assert CheckResponse.FromString(reply).dynamic_metadata.fields["cluster"].string_value == "service/own"


def test_an_answer_outlives_a_change_that_does_not_concern_it() -> None:
    """Consumers come and go by the minute; thousands of answers are not made again for that."""
    table = edges()
    checker = Checker(Names(), Tokens(), table, bytes)
    first = checker.check(check_request(HOST, b"/", HOST))
    change(table, consumers=sample().consumers, trust=sample().trust, services=sample().services)
    assert checker.check(check_request(HOST, b"/", HOST)) is first
    change(table, left_out={(CLIENT_AUTH, DOMAINS[0]): "why"})
    assert checker.check(check_request(HOST, b"/", HOST)) is not first


# --- fail closed


def test_until_the_edge_is_loaded_what_would_pass_is_not_available() -> None:
    table = EdgeTable()
    checker, processor = Checker(Names(), Tokens(), table, bytes), Processor(Names(), Tokens(), table, bytes)
    assert status(checker.check(check_request(HOST, b"/", HOST))) == 503
    assert processed(processor, HOST).immediate_response.status.code == 503
    assert CheckResponse.FromString(checker.check(connection_request(HOST))).status.code != 0  # type: ignore[arg-type]
    # Nothing of the edge is needed to say these.
    assert status(checker.check(check_request("nobody.example", b"/", "nobody.example"))) == 404
    assert status(checker.check(check_request(HOST, b"/", None, "http"))) == 308
    table.replace(Edge())
    assert asked(checker, HOST).WhichOneof("http_response") == "ok_response"
    assert checker.stats()["unavailable"] == 1


def test_a_domain_whose_client_authentication_cannot_be_read_is_not_available() -> None:
    edge = Edge(left_out={(CLIENT_AUTH, DOMAINS[0]): "unreadable"})
    checker = Checker(Names(), Tokens(), edges(edge), bytes)
    for _ in range(2):
        assert status(checker.check(check_request(HOST, b"/", HOST))) == 503
    assert CheckResponse.FromString(checker.check(connection_request(HOST))).status.code != 0  # type: ignore[arg-type]
    assert asked(checker, OTHER_HOST).WhichOneof("http_response") == "ok_response"


def test_once_client_certificates_are_asked_for_no_answer_of_before_is_given() -> None:
    table = edges()
    checker = Checker(Names(), Tokens(), table, bytes)
    assert asked(checker, HOST).WhichOneof("http_response") == "ok_response"
    auth = next(iter(sample().client_auth.values()))
    table.replace(Edge(client_auth={DOMAINS[0]: auth}))
    for _ in range(2):
        assert asked(checker, HOST).WhichOneof("http_response") == "denied_response"
    assert HOST not in checker._answers.kept
    connection = checker.check(connection_request(HOST))
    assert CheckResponse.FromString(connection).status.code != 0  # type: ignore[arg-type]
