"""What is ext_proc's own: how a request is read, and how an answer is written. The decisions are tested with authz."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from scenes.edges import edges

from sidecar.authz.policy import Kind, Pending
from sidecar.directory.entry import Entry, Unknown
from sidecar.extproc.processor import FILTER, SNI, TLS_VERSION, Processor
from sidecar.wire.process_pb2 import ProcessingRequest, ProcessingResponse

TENANT = "7b0f2a52-6a9c-4f0c-9a51-000000000001"
DOMAIN = "d0000000-0000-0000-0000-000000000001"
SHOP = Entry("shop.test", TENANT, DOMAIN, True, "ab" * 32, 1, 2e9, False)
OTHER = Entry("other.test", TENANT, DOMAIN, True, "ab" * 32, 1, 2e9, False)
TOKEN = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"


class Names:
    """Two live names, one not loaded, nothing else."""

    stale = False

    def lookup(self, host: str) -> Entry | Unknown:
        known = {entry.hostname: entry for entry in (SHOP, OTHER)}
        return known.get(host) or (Unknown.MISS if host == "miss.test" else Unknown.ABSENT)


class Tokens:
    def lookup(self, token: str) -> str | None:
        return f"{token}.thumb" if token == TOKEN else None


@pytest.fixture
def processor() -> Processor[bytes]:
    return Processor(Names(), Tokens(), edges(), bytes)


def headers(*fields: tuple[str, str | bytes], raw: bool = True) -> ProcessingRequest:
    """`raw`: as Envoy sends them unless told otherwise."""
    request = ProcessingRequest()
    for key, value in fields:
        header = request.request_headers.headers.headers.add(key=key.encode())
        data = value if isinstance(value, bytes) else value.encode()
        if raw:
            header.raw_value = data
        else:
            header.value = data
    return request


def attributes(request: ProcessingRequest, **attributes: str | None) -> ProcessingRequest:
    """`sni`, `tls_version`; None: not sent."""
    fields = request.attributes[FILTER].fields
    for name, value in attributes.items():
        if value is not None:
            fields[{"sni": SNI, "tls_version": TLS_VERSION}[name]].string_value = value
    return request


def ask(
    processor: Processor[bytes], request: ProcessingRequest, sni: str | None = None, tls_version: str | None = "TLSv1.3"
) -> bytes | Pending:
    return processor.check(attributes(request, sni=sni, tls_version=tls_version).SerializeToString())


def passed(answer: bytes | Pending) -> Mapping[str, bytes]:
    assert isinstance(answer, bytes)
    response = ProcessingResponse.FromString(answer)
    assert response.WhichOneof("response") == "request_headers"
    options = response.request_headers.response.header_mutation.set_headers
    for option in options:
        assert option.append_action == ProcessingResponse.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    return {option.header.key: option.header.raw_value for option in options}


def refused(answer: bytes | Pending) -> int:
    assert isinstance(answer, bytes)
    response = ProcessingResponse.FromString(answer)
    assert response.WhichOneof("response") == "immediate_response"
    assert response.immediate_response.headers.set_headers
    for option in response.immediate_response.headers.set_headers:
        assert option.append_action == ProcessingResponse.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
        assert option.header.raw_value
    return response.immediate_response.status.code


@pytest.mark.parametrize("raw", [True, False])
def test_a_live_name_passes_with_its_tenant_and_row(processor: Processor[bytes], raw: bool) -> None:
    for _ in range(2):
        request = headers((":path", "/"), (":authority", "shop.test"), raw=raw)
        assert passed(ask(processor, request, "shop.test")) == {
            "x-tenant-id": TENANT.encode(),
            "x-nameplate-host": b"shop.test",
            "x-nameplate-cluster": b"service/default",
        }


def test_another_host_than_the_certificate_covers_is_misdirected(processor: Processor[bytes]) -> None:
    request = headers((":authority", "other.test"), (":path", "/"))
    assert passed(ask(processor, request, "other.test"))
    assert refused(ask(processor, request, "shop.test")) == 421
    assert refused(ask(processor, request, "")) == 421


def test_a_connection_without_a_tls_version_is_one_to_the_plain_listener(processor: Processor[bytes]) -> None:
    live = headers((":authority", "shop.test"), (":path", "/a?b"))
    assert refused(ask(processor, live, "shop.test", tls_version=None)) == 308
    assert refused(ask(processor, live, "", tls_version=None)) == 308
    challenge = headers((":authority", "any"), (":path", f"/.well-known/acme-challenge/{TOKEN}"))
    assert refused(ask(processor, challenge, "", tls_version=None)) == 200


def test_an_envoy_that_does_not_send_the_sni_is_told_so(processor: Processor[bytes]) -> None:
    """Else each request would be redirected to itself."""
    request = headers((":authority", "shop.test"), (":path", "/"))
    assert refused(processor.check(request.SerializeToString())) == 421
    assert refused(ask(processor, request, sni=None)) == 421


def test_attributes_under_another_filters_name_do_not_count(processor: Processor[bytes]) -> None:
    request = headers((":authority", "shop.test"), (":path", "/"))
    request.attributes["other"].fields[SNI].string_value = "shop.test"
    request.attributes["other"].fields[TLS_VERSION].string_value = "TLSv1.3"
    assert refused(processor.check(request.SerializeToString())) == 421


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [(":path", "/")],
        [(":authority", "shop.test")],
        [(":authority", "shop.test"), (":path", "/"), (":authority", "other.test")],
        [(":authority", ""), (":path", "/"), (":authority", "shop.test")],
        [(":authority", "shop.test"), (":path", "/"), (":path", "/")],
        [("host", "shop.test"), (":path", "/")],
    ],
)
def test_a_request_that_lacks_or_doubles_a_header_is_refused(
    processor: Processor[bytes], fields: list[tuple[str, str]]
) -> None:
    assert refused(ask(processor, headers(*fields), "shop.test")) == 403


@pytest.mark.parametrize("host", [b"sh\xffop.test", b"", b"shop.test\r\nx: y", "ſhop.test".encode(), b"192.0.2.1"])
def test_any_octets_may_be_the_host(processor: Processor[bytes], host: bytes) -> None:
    assert refused(ask(processor, headers((":authority", host), (":path", "/")), "shop.test")) == 404


@pytest.mark.parametrize("message", [b"\xff", b"", ProcessingRequest().SerializeToString()])
def test_what_is_no_request_is_refused(processor: Processor[bytes], message: bytes) -> None:
    assert refused(processor.check(message)) == 403


def test_another_phase_than_the_requests_headers_is_refused(processor: Processor[bytes]) -> None:
    """Field 3 is response_headers: not asked for, and no question of ours to answer."""
    inner = headers((":authority", "shop.test"), (":path", "/")).request_headers.SerializeToString()
    assert refused(processor.check(bytes([3 << 3 | 2, len(inner)]) + inner)) == 403


def test_a_name_that_is_not_loaded_is_pending_and_then_decided(processor: Processor[bytes]) -> None:
    request = headers((":authority", "miss.test"), (":path", "/"))
    pending = Pending(Kind.HOSTNAME, "miss.test")
    assert ask(processor, request, "miss.test") == pending
    assert refused(processor.check(request.SerializeToString(), {pending})) == 404
    assert refused(processor.unavailable()) == 503


def test_each_outcome_is_counted(processor: Processor[bytes]) -> None:
    for _ in range(3):
        ask(processor, headers((":authority", "shop.test"), (":path", "/")), "shop.test")
    processor.check(b"\xff")
    counts = processor.stats()
    assert (counts["ok"], counts["unreadable"], sum(counts.values())) == (3, 1, 4)
