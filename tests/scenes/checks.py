"""A small world of names and tokens, what Envoy asks about it, also at random, and the answers taken apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hypothesis import strategies as st

from sidecar.authz.check import LISTENER
from sidecar.authz.policy import Pending
from sidecar.directory.entry import Entry, Unknown
from sidecar.extproc.processor import FILTER, SNI, TLS_VERSION
from sidecar.wire.check_pb2 import CheckRequest, CheckResponse
from sidecar.wire.process_pb2 import ProcessingRequest

TENANTS = ("7b0f2a52-6a9c-4f0c-9a51-000000000001", "7b0f2a52-6a9c-4f0c-9a51-000000000002")
DOMAINS = ("d0000000-0000-0000-0000-000000000001", "d0000000-0000-0000-0000-000000000002")
PLATFORM = "platform.io"
TOKEN = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"
MISSES = frozenset({"miss.example", "gone.example"})


def entry(hostname: str, owner: int = 0, *, live: bool = True) -> Entry:
    platform = hostname.endswith("." + PLATFORM)
    return Entry(
        hostname=hostname,
        tenant_id=TENANTS[owner],
        domain_id="" if platform else DOMAINS[owner],
        live=live,
        fingerprint=None if platform else "ab" * 32,
        vault_version=None if platform else 1,
        not_after=None if platform else 2e9,
        platform=platform,
    )


ENTRIES = (
    entry("shop.mybrand.co"),
    entry("other.mybrand.co", 1),
    entry("soon.mybrand.co", live=False),
    entry("*.wild.example"),
    entry("own.wild.example", 1),
    entry("soon.wild.example", 1, live=False),
    entry("acme.platform.io"),
    entry("zeta.platform.io", 1),
)


class Names:
    """Exact wins, then the wildcard of one label; those of MISSES are not known unless put in."""

    def __init__(self, entries: Iterable[Entry] = ENTRIES) -> None:
        self.entries = {found.hostname: found for found in entries}
        self.stale = False

    def lookup(self, host: str) -> Entry | Unknown:
        found = self.entries.get(host) or self.entries.get("*." + host.partition(".")[2])
        return found or (Unknown.MISS if host in MISSES else Unknown.ABSENT)


class Tokens:
    def lookup(self, token: str) -> str | None:
        return f"{token}.thumb" if token == TOKEN else None


# No lone surrogates: they are no text on the wire.
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
names = st.sampled_from(
    [
        *(known.hostname for known in ENTRIES),
        *sorted(MISSES),
        "a.wild.example",
        "x.y.wild.example",
        "wild.example",
        "nobody.example",
        "nobody.platform.io",
        "platform.io",
        "localhost",
        "192.0.2.1",
        "[2001:db8::1]",
        "a" * 63 + ".example",
        "a" * 64 + ".example",
        ".".join(["a" * 61] * 4) + ".example",
        "xn--bcher-kva.example",
        "*",
        "",
    ]
)
mixed = st.builds(
    lambda name, upper: "".join(c.upper() if u else c for c, u in zip(name, upper * len(name), strict=False)),
    names,
    st.lists(st.booleans(), min_size=1, max_size=5),
)
hosts = (
    names
    | mixed
    | st.builds("{}:{}".format, names, st.integers(0, 99_999))
    | names.map("{}.".format)
    | st.builds("{}{}".format, names, text)
    | text
)
snis = names | mixed | text | st.just("")
paths = (
    st.sampled_from(["/", "/a?b=c", f"/.well-known/acme-challenge/{TOKEN}", "/.well-known/acme-challenge/x"])
    .flatmap(lambda path: st.just(path) | text.map(lambda more: path + more))
    .map(str.encode)
)
# The host and the SNI: mostly the same, as in life.
pairs = hosts.flatmap(lambda host: st.tuples(st.just(host), st.just(host) | snis))


def check_request(host: str, path: bytes, sni: str | None, listener: str | None = None) -> bytes:
    """What the HTTP filter sends. `sni`, `listener`: None for a connection without TLS, for no such extension."""
    request = CheckRequest()
    request.attributes.request.http.host = host
    request.attributes.request.http.path = path
    if sni is not None:
        request.attributes.tls_session.sni = sni
    if listener is not None:
        request.attributes.context_extensions[LISTENER] = listener
        request.attributes.tls_session.SetInParent()  # Envoy 1.40 sends an empty one for a plain connection
    return request.SerializeToString()


def secure(host: str, sni: str | None = None, path: str = "/") -> bytes:
    """A request on the TLS listener; without an SNI given, it is the host."""
    return check_request(host, path.encode(), host if sni is None else sni)


def plain(host: str, path: str | bytes = "/", listener: str = "http") -> bytes:
    """A request on the plain listener, as Envoys sent it that had no empty `tls_session`."""
    request = CheckRequest()
    request.attributes.request.http.host = host
    request.attributes.request.http.path = path if isinstance(path, bytes) else path.encode()
    request.attributes.context_extensions[LISTENER] = listener
    return request.SerializeToString()


def connection_request(sni: str | None) -> bytes:
    """What the network filter sends."""
    request = CheckRequest()
    if sni is not None:
        request.attributes.tls_session.sni = sni
    return request.SerializeToString()


def processing_request(host: str, path: bytes, sni: str | None) -> bytes:
    """What ext_proc sends with envoy/ext_proc.yaml."""
    request = ProcessingRequest()
    for key, value in ((b":authority", host.encode()), (b":path", path)):
        request.request_headers.headers.headers.add(key=key, raw_value=value)
    fields = request.attributes[FILTER].fields
    fields[SNI].string_value = sni or ""
    if sni is not None:
        fields[TLS_VERSION].string_value = "TLSv1.3"
    return request.SerializeToString()


http_requests = st.builds(
    lambda pair, path, tls, listener: check_request(pair[0], path, pair[1] if tls else None, listener),
    pairs,
    paths | st.binary(max_size=40),
    st.sampled_from([True, True, True, False]),
    st.sampled_from([None, None, None, "http"]) | text,
)
processing_requests = st.builds(
    lambda pair, path, tls: processing_request(pair[0], path, pair[1] if tls else None),
    pairs,
    paths | st.binary(max_size=40),
    st.sampled_from([True, True, True, False]),
)
connection_requests = st.builds(connection_request, snis | st.none())


def mutate(message: bytes, position: int, value: int) -> bytes:
    if not message:
        return message
    position %= len(message)
    return message[:position] + bytes([value]) + message[position + 1 :]


check_requests = http_requests | connection_requests
damaged = st.builds(mutate, check_requests, st.integers(0, 500), st.integers(0, 255)) | st.binary(max_size=200)


def answer(reply: bytes | Pending) -> CheckResponse:
    assert isinstance(reply, bytes)
    return CheckResponse.FromString(reply)


def passed(reply: bytes | Pending) -> Mapping[str, str]:
    """The headers of an OK reply."""
    response = answer(reply)
    assert response.status.code == 0
    assert response.WhichOneof("http_response") == "ok_response"
    return {option.header.key: option.header.value for option in response.ok_response.headers}


def refused(reply: bytes | Pending) -> tuple[int, Mapping[str, str], str]:
    """Status, headers and body of a denied reply."""
    response = answer(reply)
    assert response.status.code != 0
    assert response.WhichOneof("http_response") == "denied_response"
    denied = response.denied_response
    return denied.status.code, {option.header.key: option.header.value for option in denied.headers}, denied.body
