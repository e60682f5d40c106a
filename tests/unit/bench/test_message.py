from __future__ import annotations

import warnings

import pytest

from bench.load.checks import Requests
from bench.load.message import check_request, framed
from bench.names import hostname
from sidecar.wire.check_pb2 import CheckRequest

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # theirs: validators in a form that pydantic gives up
    from envoy_data_plane.envoy.service.auth.v3 import CheckRequest as Full


def test_a_check_request_is_what_envoy_would_send() -> None:
    request = Full.parse(check_request("shop.example.com", "/cart?x=1"))
    http = request.attributes.request.http
    assert (http.host, http.path, http.method, http.scheme) == ("shop.example.com", "/cart?x=1", "GET", "https")
    assert request.attributes.tls_session.sni == "shop.example.com"
    assert request.attributes.source.address.socket_address.address == "203.0.113.7"
    assert http.headers == {}


def test_requests_differ_in_their_name_alone() -> None:
    message = Requests()(hostname(42).encode())
    assert message == framed(check_request(hostname(42)))
    attributes = CheckRequest.FromString(message[5:]).attributes
    assert attributes.request.http.host == attributes.tls_session.sni == hostname(42)


def test_a_name_of_another_width_would_break_the_message() -> None:
    with pytest.raises(ValueError, match="width"):
        Requests()(b"short.test")
