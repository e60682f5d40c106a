"""The check is total, never lets through more than it should, and says the same however it is asked."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from scenes.checks import (
    DOMAINS,
    ENTRIES,
    PLATFORM,
    TENANTS,
    Names,
    Tokens,
    check_request,
    check_requests,
    connection_request,
    damaged,
    entry,
    hosts,
    http_requests,
    pairs,
    paths,
    processing_request,
    snis,
)
from scenes.edges import edges

from core.hostname import normalize_host_header, normalize_sni
from sidecar.authz.check import LISTENER, Checker
from sidecar.authz.policy import Pending
from sidecar.directory.entry import Entry
from sidecar.extproc.processor import Processor
from sidecar.wire.check_pb2 import CheckRequest, CheckResponse
from sidecar.wire.process_pb2 import ProcessingResponse

CHECKER = Checker(Names(), Tokens(), edges(), bytes)
CLUSTER = "service/default"
PROCESSOR = Processor(Names(), Tokens(), edges(), bytes)


def live(host: str | None) -> Entry | None:
    found = None if host is None else Names().lookup(host)
    return found if isinstance(found, Entry) and found.live else None


def headers(options: object) -> dict[str, str]:
    return {option.header.key: option.header.value for option in options}  # type: ignore[attr-defined]


@given(check_requests | damaged)
def test_any_bytes_get_a_reply_that_lets_through_only_a_live_name(request: bytes) -> None:
    """Said again, from what was sent and in other words than the policy's."""
    reply = CHECKER.check(request)
    if isinstance(reply, Pending):
        return
    response = CheckResponse.FromString(reply)
    if response.status.code != 0:
        assert not response.HasField("dynamic_metadata")
        assert 200 <= response.denied_response.status.code < 600
        for value in headers(response.denied_response.headers).values():
            assert value.isprintable()
            assert value.isascii()
        return
    attributes = CheckRequest.FromString(request).attributes
    assert attributes.HasField("tls_session")
    served = live(normalize_sni(attributes.tls_session.sni))
    if not attributes.HasField("request"):
        assert served is not None
        metadata = {key: value.string_value for key, value in response.dynamic_metadata.fields.items()}
        domain = served.domain_id or served.tenant_id
        assert metadata == {"tenant": served.tenant_id, "domain": domain, "host": served.hostname, "cluster": CLUSTER}
        assert response.WhichOneof("http_response") is None
        return
    asked = live(normalize_host_header(attributes.request.http.host))
    assert asked is not None
    assert headers(response.ok_response.headers) == {
        "x-tenant-id": asked.tenant_id,
        "x-nameplate-host": asked.hostname,
        "x-nameplate-cluster": CLUSTER,
    }
    assert not response.HasField("dynamic_metadata")
    assert asked.platform or normalize_sni(attributes.tls_session.sni) is not None
    assert attributes.tls_session.sni or LISTENER not in attributes.context_extensions


@given(http_requests)
def test_nothing_of_a_request_beyond_host_path_sni_and_listener_changes_the_reply(request: bytes) -> None:
    """Such as what else an Envoy sends: addresses and principals (1, 2), time (4.1), method and headers (4.2.2, 3)."""
    peer = b"\x0a\x0b\x22\x09spoof.com"
    more = b"\x0a\x1d" + peer + b"\x22\x0e\x0a\x02\x08\x01\x12\x08\x12\x03GET\x1a\x01\x00"
    assert CheckRequest.FromString(more).attributes.request.http.host == ""
    # Concatenated messages are merged (protobuf encoding, "Last One Wins").
    assert CHECKER.check(request + more) == CHECKER.check(request)


# hostname → None: no row; else whose it is, and whether it is live
Changes = list[tuple[str, tuple[int, bool] | None]]
changes: st.SearchStrategy[Changes] = st.lists(
    st.tuples(
        st.sampled_from([each.hostname for each in ENTRIES] + ["a.wild.example", "nobody.example"]),
        st.none() | st.tuples(st.integers(0, 1), st.booleans()),
    ),
    max_size=3,
)


# Few, so that the same is asked again.
spellings = st.sampled_from(
    ["shop.mybrand.co", "a.wild.example", "A.wild.example", "own.wild.example", "OWN.wild.example", "*.wild.example"]
)


@given(st.lists(st.tuples(changes, st.tuples(spellings, spellings) | spellings.map(lambda name: (name, name)) | pairs)))
def test_what_was_answered_before_makes_no_difference(
    steps: list[tuple[list[tuple[str, object]], tuple[str, str]]],
) -> None:
    """Rows change, come and go between the checks; a checker that keeps answers says what a new one would."""
    names = Names()
    keeping, processing = Checker(names, Tokens(), edges(), bytes), Processor(names, Tokens(), edges(), bytes)
    for change, (host, sni) in steps:
        for hostname, row in change:
            if row is None:
                names.entries.pop(hostname, None)
            else:
                owner, is_live = row
                names.entries[hostname] = entry(hostname, owner, live=is_live or hostname.endswith(PLATFORM))
        for _ in range(2):
            request = check_request(host, b"/", sni)
            assert keeping.check(request) == Checker(names, Tokens(), edges(), bytes).check(request)
            request = processing_request(host, b"/", sni)
            assert processing.check(request) == Processor(names, Tokens(), edges(), bytes).check(request)


@given(pairs, paths | st.binary(max_size=40), st.booleans())
def test_ext_proc_says_what_ext_authz_says(pair: tuple[str, str], path: bytes, tls: bool) -> None:
    host, sni = pair
    authz = CHECKER.check(check_request(host, path, sni if tls else None, None if tls else "http"))
    proc = PROCESSOR.check(processing_request(host, path, sni if tls else None))
    if isinstance(authz, Pending) or isinstance(proc, Pending):
        assert authz == proc
        return
    one, other = CheckResponse.FromString(authz), ProcessingResponse.FromString(proc)
    if one.status.code == 0:
        mutation = other.request_headers.response.header_mutation
        said, also = one.ok_response.headers, mutation.set_headers
    else:
        denied, immediate = one.denied_response, other.immediate_response
        assert (denied.status.code, denied.body.encode()) == (immediate.status.code, immediate.body)
        said, also = denied.headers, immediate.headers.set_headers
    assert headers(said) == {option.header.key: option.header.raw_value.decode() for option in also}
    assert [option.append_action for option in said] == [option.append_action for option in also]


@given(st.binary(max_size=200))
def test_any_bytes_get_a_reply_of_ext_proc(request: bytes) -> None:
    reply = PROCESSOR.check(request)
    if not isinstance(reply, Pending):
        assert ProcessingResponse.FromString(reply).WhichOneof("response") == "immediate_response"


@given(snis)
def test_a_connection_gets_what_its_requests_for_that_name_would_get(sni: str) -> None:
    on_connection, on_request = CHECKER.check(connection_request(sni)), CHECKER.check(check_request(sni, b"/", sni))
    if isinstance(on_connection, Pending):
        assert on_request == on_connection
        return
    one, other = CheckResponse.FromString(on_connection), CheckResponse.FromString(on_request)
    if one.status.code == 0:
        said = headers(other.ok_response.headers)
        assert one.dynamic_metadata.fields["tenant"].string_value == said["x-tenant-id"]
        assert one.dynamic_metadata.fields["host"].string_value == said["x-nameplate-host"] == normalize_sni(sni)
        assert one.dynamic_metadata.fields["domain"].string_value in {*TENANTS, *DOMAINS}
    elif other.status.code == 0:
        row = headers(other.ok_response.headers)["x-nameplate-host"]
        assert row.startswith("*."), "only by a wildcard no connection is decided"


@given(hosts)
def test_a_message_cut_short_is_never_a_pass(host: str) -> None:
    request = check_request(host, b"/", host)
    for size in range(len(request)):
        try:
            CheckRequest.FromString(request[:size])
        except DecodeError:
            reply = CHECKER.check(request[:size])
            assert isinstance(reply, bytes)
            assert CheckResponse.FromString(reply).denied_response.status.code == 403
