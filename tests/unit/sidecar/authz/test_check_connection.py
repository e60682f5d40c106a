"""The rows on connections of the resolution order in sidecar/authz/policy.py, as an ext_authz server answers them."""

from __future__ import annotations

import pytest
from scenes.checks import DOMAINS, TENANTS, Names, Tokens, check_request, connection_request, entry
from scenes.edges import edges

from sidecar.authz.check import LISTENER, Checker
from sidecar.authz.policy import Kind, Pending
from sidecar.authz.replies import PERMISSION_DENIED
from sidecar.wire.check_pb2 import CheckRequest, CheckResponse


@pytest.fixture
def names() -> Names:
    return Names()


@pytest.fixture
def checker(names: Names) -> Checker[bytes]:
    return Checker(names, Tokens(), edges(), bytes)


def secure(host: str) -> bytes:
    return check_request(host, b"/", host)


def answer(reply: bytes | Pending) -> CheckResponse:
    assert isinstance(reply, bytes)
    return CheckResponse.FromString(reply)


def tenant_of(reply: bytes | Pending) -> str:
    """That an OK reply to the HTTP filter gives."""
    response = answer(reply)
    assert response.status.code == 0
    (tenant,) = [option.header.value for option in response.ok_response.headers if option.header.key == "x-tenant-id"]
    return tenant


def refused(reply: bytes | Pending) -> int:
    """The status of a denied reply."""
    response = answer(reply)
    assert response.status.code != 0
    assert response.WhichOneof("http_response") == "denied_response"
    return response.denied_response.status.code


def metadata(reply: bytes | Pending) -> dict[str, str]:
    """Of an OK reply to the network filter."""
    response = answer(reply)
    assert response.status.code == 0
    assert response.WhichOneof("http_response") is None
    return {key: value.string_value for key, value in response.dynamic_metadata.fields.items()}


@pytest.mark.parametrize(
    ("sni", "tenant", "domain", "host"),
    [
        ("shop.mybrand.co", TENANTS[0], DOMAINS[0], "shop.mybrand.co"),
        ("Shop.MyBrand.CO", TENANTS[0], DOMAINS[0], "shop.mybrand.co"),
        ("own.wild.example", TENANTS[1], DOMAINS[1], "own.wild.example"),
        ("zeta.platform.io", TENANTS[1], TENANTS[1], "zeta.platform.io"),
    ],
)
def test_a_connection_to_a_live_name_is_told_its_tenant_registration_and_row(
    checker: Checker[bytes], sni: str, tenant: str, domain: str, host: str
) -> None:
    told = {"tenant": tenant, "domain": domain, "host": host, "cluster": "service/default"}
    assert metadata(checker.check(connection_request(sni))) == told


@pytest.mark.parametrize(
    "sni",
    [
        None,
        "",
        "default",
        "192.0.2.1",
        "shop.mybrand.co.",
        "shop.mybrand.co:443",
        "*.wild.example",
        "x.y.wild.example",
        "soon.mybrand.co",
        "nobody.example",
        "nobody.platform.io",
        "platform.io",
        "ſhop.mybrand.co",
        "shop.mybrand.co\x00",
    ],
)
def test_a_connection_to_any_other_name_is_refused(checker: Checker[bytes], sni: str | None) -> None:
    assert answer(checker.check(connection_request(sni))).status.code == PERMISSION_DENIED


def test_a_connection_is_not_decided_by_a_wildcard_below_which_a_row_of_the_name_may_come(
    names: Names, checker: Checker[bytes]
) -> None:
    """Its requests are asked about, and so get what is right at the time."""
    assert answer(checker.check(connection_request("a.wild.example"))).status.code == PERMISSION_DENIED
    assert tenant_of(checker.check(secure("a.wild.example"))) == TENANTS[0]
    names.entries["a.wild.example"] = entry("a.wild.example", 1)
    assert metadata(checker.check(connection_request("a.wild.example")))["tenant"] == TENANTS[1]
    assert tenant_of(checker.check(secure("a.wild.example"))) == TENANTS[1]


def test_a_connection_is_decided_by_no_directory_that_may_lack_changes(names: Names, checker: Checker[bytes]) -> None:
    names.stale = True
    assert answer(checker.check(connection_request("shop.mybrand.co"))).status.code == PERMISSION_DENIED
    assert tenant_of(checker.check(secure("shop.mybrand.co"))) == TENANTS[0]
    names.stale = False
    assert metadata(checker.check(connection_request("shop.mybrand.co")))


def test_a_connection_to_an_unknown_name_waits_for_its_load(checker: Checker[bytes]) -> None:
    pending = Pending(Kind.HOSTNAME, "miss.example")
    assert checker.check(connection_request("miss.example")) == pending
    assert answer(checker.check(connection_request("miss.example"), {pending})).status.code == PERMISSION_DENIED


def test_no_request_is_taken_for_a_connection(checker: Checker[bytes]) -> None:
    """Whatever of a request is missing: an OK without headers would let it pass without a tenant."""
    request = CheckRequest.FromString(connection_request("shop.mybrand.co"))
    request.attributes.request.http.SetInParent()
    assert refused(checker.check(request.SerializeToString())) == 404
    request.attributes.request.ClearField("http")
    assert request.attributes.HasField("request")
    assert refused(checker.check(request.SerializeToString())) == 403
    request.attributes.context_extensions[LISTENER] = "http"
    assert refused(checker.check(request.SerializeToString())) == 403


def test_no_connection_is_taken_for_a_request(checker: Checker[bytes]) -> None:
    assert not answer(checker.check(connection_request("shop.mybrand.co"))).HasField("ok_response")
