"""Orders and authorizations, read strictly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from control.acme.order import HTTP_01, Authorization, NotAcme, Order

TOKEN = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"
# RFC 8555 section 7.1.3
ORDER = {
    "status": "valid",
    "expires": "2016-01-20T14:09:07.99Z",
    "identifiers": [{"type": "dns", "value": "www.Example.org"}, {"type": "dns", "value": "example.org"}],
    "authorizations": ["https://example.com/acme/authz/PAniVnsZcis"],
    "finalize": "https://example.com/acme/order/TOlocE8rfgo/finalize",
    "certificate": "https://example.com/acme/cert/mAt3xBGaobw",
}
# RFC 8555 section 7.1.4, with a challenge that has no token
AUTHORIZATION = {
    "status": "pending",
    "identifier": {"type": "dns", "value": "www.example.org"},
    "challenges": [
        {"url": "https://example.com/acme/chall/1", "type": "new-01", "status": "pending"},
        {"url": "https://example.com/acme/chall/2", "type": "http-01", "status": "pending", "token": TOKEN},
    ],
}


def test_an_order_of_the_rfc_is_read():
    order = Order.from_json(ORDER, "https://example.com/acme/order/1", timedelta(seconds=3))
    assert order.hostnames == {"www.example.org", "example.org"}
    assert order.expires == datetime(2016, 1, 20, 14, 9, 7, 990000, UTC)
    assert order.certificate == ORDER["certificate"]
    assert order.problem is None
    assert order.retry_after == timedelta(seconds=3)


def test_an_identifier_of_another_type_is_never_a_hostname():
    fields = {**ORDER, "identifiers": [{"type": "ip", "value": "192.0.2.1"}]}
    assert Order.from_json(fields, "u").hostnames == {"ip:192.0.2.1"}


def test_an_authorization_offers_its_challenges_and_leaves_out_those_without_a_token():
    authorization = Authorization.from_json(AUTHORIZATION, "u")
    assert [one.type for one in authorization.challenges] == [HTTP_01]
    assert authorization.challenge(HTTP_01).token == TOKEN
    assert authorization.challenge("dns-01") is None


def test_the_problem_of_an_authorization_is_that_of_its_failed_challenge():
    failed = {**AUTHORIZATION["challenges"][1], "status": "invalid", "error": {"type": "x", "detail": "y"}}
    authorization = Authorization.from_json({**AUTHORIZATION, "status": "invalid", "challenges": [failed]}, "u")
    assert authorization.problem.detail == "y"


@pytest.mark.parametrize("token", ["../../etc/passwd", "short", "a" * 30 + "/", "a" * 30 + "\n", "a" * 300, 7, None])
def test_a_token_that_is_not_base64url_is_refused(token):
    challenge = {**AUTHORIZATION["challenges"][1], "token": token}
    with pytest.raises(NotAcme):
        Authorization.from_json({**AUTHORIZATION, "challenges": [challenge]}, "u")


@pytest.mark.parametrize(
    "change",
    [
        {"status": "lost"},
        {"status": None},
        {"expires": "soon"},
        {"expires": 7},
        {"identifiers": {}},
        {"identifiers": ["www.example.org"]},
        {"authorizations": [7]},
        {"finalize": ""},
        {"certificate": 7},
    ],
)
def test_what_is_not_an_order_is_refused(change):
    with pytest.raises(NotAcme):
        Order.from_json({**ORDER, **change}, "u")
