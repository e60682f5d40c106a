"""The check is total, never says more than it should, and its wire view agrees with Envoy's own messages."""

from __future__ import annotations

import warnings
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sidecar.authz import replies
from sidecar.authz.check import LISTENER, Checker, Pending
from sidecar.directory.entry import Entry, Unknown
from sidecar.wire.check_pb2 import CheckRequest, CheckResponse

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the generated package uses a deprecated way of pydantic's
    from envoy_data_plane.envoy.config.core.v3 import HeaderValueOptionHeaderAppendAction
    from envoy_data_plane.envoy.service.auth.v3 import (
        AttributeContext,
        AttributeContextHttpRequest,
        AttributeContextPeer,
        AttributeContextRequest,
        AttributeContextTlsSession,
    )
    from envoy_data_plane.envoy.service.auth.v3 import CheckRequest as EnvoyCheckRequest
    from envoy_data_plane.envoy.service.auth.v3 import CheckResponse as EnvoyCheckResponse

LIVE = Entry(
    hostname="shop.mybrand.co",
    tenant_id="7b0f2a52-6a9c-4f0c-9a51-000000000001",
    domain_id="d0000000-0000-0000-0000-000000000001",
    live=True,
    fingerprint="ab" * 32,
    vault_version=1,
    not_after=2e9,
    platform=False,
)
TOKEN = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"


class Names:
    """One live name, one not loaded, nothing else."""

    def lookup(self, host: str) -> Entry | Unknown:
        if host == LIVE.hostname:
            return LIVE
        return Unknown.MISS if host == "miss.example" else Unknown.ABSENT


class Tokens:
    def lookup(self, token: str) -> str | None:
        return "key-authorization" if token == TOKEN else None


CHECKER = Checker(Names(), Tokens())

text = st.text(max_size=40)
hosts = st.sampled_from(["shop.mybrand.co", "SHOP.mybrand.co:443", "miss.example", "nobody.example", ""]) | text
paths = st.sampled_from(["/", "/a?b=c", "/.well-known/acme-challenge/" + TOKEN, "/.well-known/acme-challenge/x"]) | text
extensions = st.dictionaries(st.sampled_from([LISTENER, "other"]) | text, text, max_size=2)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    request = CheckRequest()
    request.attributes.request.http.host = draw(hosts)
    request.attributes.request.http.path = draw(paths.map(str.encode) | st.binary(max_size=40))
    for key, value in draw(extensions).items():
        request.attributes.context_extensions[key] = value
    if draw(st.booleans()):
        request.attributes.tls_session.sni = draw(hosts)
    return request.SerializeToString()


def mutate(message: bytes, position: int, value: int) -> bytes:
    if not message:
        return message
    position %= len(message)
    return message[:position] + bytes([value]) + message[position + 1 :]


damaged = st.builds(mutate, requests(), st.integers(0, 500), st.integers(0, 255)) | st.binary(max_size=200)


@given(requests() | damaged)
def test_any_bytes_get_a_reply_that_lets_through_only_the_live_name(request: bytes) -> None:
    reply = CHECKER.check(request)
    if isinstance(reply, Pending):
        return
    response = CheckResponse.FromString(reply)
    if response.WhichOneof("http_response") == "denied_response":
        assert response.status.code != 0
        assert 200 <= response.denied_response.status.code < 600
        for option in response.denied_response.headers:
            assert option.header.value.isprintable()
            assert option.header.value.isascii()
        return
    assert reply == replies.ok(LIVE.tenant_id, LIVE.hostname)
    attributes = CheckRequest.FromString(request).attributes
    assert LISTENER not in attributes.context_extensions
    assert attributes.tls_session.sni.lower() == LIVE.hostname


@given(requests())
def test_nothing_of_a_request_beyond_host_path_sni_and_listener_changes_the_reply(request: bytes) -> None:
    """Such as the headers (field 3 of the HTTP request) that an Envoy sends when it is told to."""
    headers = EnvoyCheckRequest(
        attributes=AttributeContext(
            source=AttributeContextPeer(principal="x-tenant-id"),
            request=AttributeContextRequest(
                http=AttributeContextHttpRequest(headers={"x-tenant-id": "spoof", "host": "nobody.example"}, body="x")
            ),
        )
    )
    # Concatenated messages are merged (protobuf encoding, "Last One Wins").
    assert CHECKER.check(request + bytes(headers)) == CHECKER.check(request)


@given(hosts, paths, hosts, extensions)
def test_a_request_of_envoy_reads_the_same_in_our_view(
    host: str, path: str, sni: str, context_extensions: dict[str, str]
) -> None:
    full = EnvoyCheckRequest(
        attributes=AttributeContext(
            request=AttributeContextRequest(
                http=AttributeContextHttpRequest(host=host, path=path, method="GET", id="1", size=-1)
            ),
            context_extensions=context_extensions,
            tls_session=AttributeContextTlsSession(sni=sni),
        )
    )
    ours = CheckRequest.FromString(bytes(full)).attributes
    assert ours.request.http.host == host
    assert ours.request.http.path == path.encode()
    assert dict(ours.context_extensions) == context_extensions
    assert ours.HasField("tls_session")
    assert ours.tls_session.sni == sni


@given(hosts, paths, hosts, extensions)
def test_a_request_in_our_view_reads_the_same_in_envoys(
    host: str, path: str, sni: str, context_extensions: dict[str, str]
) -> None:
    ours = CheckRequest()
    ours.attributes.request.http.host = host
    ours.attributes.request.http.path = path.encode()
    ours.attributes.tls_session.sni = sni
    for key, value in context_extensions.items():
        ours.attributes.context_extensions[key] = value
    full = EnvoyCheckRequest.parse(ours.SerializeToString()).attributes
    assert full is not None
    assert full.request is not None
    assert full.request.http is not None
    assert (full.request.http.host, full.request.http.path) == (host, path)
    assert full.tls_session is not None
    assert full.tls_session.sni == sni
    assert full.context_extensions == context_extensions


@given(text, text)
def test_envoy_reads_an_ok_reply_as_it_was_meant(tenant: str, hostname: str) -> None:
    full = EnvoyCheckResponse.parse(replies.ok(tenant, hostname))
    assert full.status is None
    assert full.denied_response is None
    assert full.dynamic_metadata is None
    assert full.ok_response is not None
    assert not full.ok_response.headers_to_remove
    assert headers_of(full.ok_response) == {"x-tenant-id": tenant, "x-nameplate-host": hostname}


@given(st.integers(200, 599), text, text)
def test_envoy_reads_a_denied_reply_as_it_was_meant(status: int, body: str, location: str) -> None:
    full = EnvoyCheckResponse.parse(replies.denied(status, body, "text/plain", location=location))
    assert full.status is not None
    assert full.status.code == replies.PERMISSION_DENIED
    assert full.ok_response is None
    assert full.denied_response is not None
    assert full.denied_response.status is not None
    assert int(full.denied_response.status.code) == status
    assert full.denied_response.body == body
    assert headers_of(full.denied_response) == {
        "content-type": "text/plain",
        "cache-control": "no-store",
        "location": location,
    }


def headers_of(response: Any) -> dict[str, str]:
    for option in response.headers:
        assert option.append is None
        assert option.append_action == HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD
    return {option.header.key: option.header.value for option in response.headers}
