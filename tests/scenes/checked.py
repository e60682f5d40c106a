"""A small world of names and tokens, what Envoy asks about it, and the checker's answers taken apart."""

from __future__ import annotations

from collections.abc import Mapping

from sidecar.authz.check import LISTENER
from sidecar.authz.policy import Pending
from sidecar.directory.entry import Entry, Unknown
from sidecar.wire.check_pb2 import CheckRequest, CheckResponse

TENANT_A = "7b0f2a52-6a9c-4f0c-9a51-000000000001"
TENANT_B = "7b0f2a52-6a9c-4f0c-9a51-000000000002"
DOMAIN = "d0000000-0000-0000-0000-000000000001"


def entry(hostname: str, tenant: str = TENANT_A, *, live: bool = True, platform: bool = False) -> Entry:
    return Entry(
        hostname=hostname,
        tenant_id=tenant,
        domain_id="" if platform else DOMAIN,
        live=live,
        fingerprint=None if platform else "ab" * 32,
        vault_version=None if platform else 1,
        not_after=None if platform else 2e9,
        platform=platform,
    )


ENTRIES = (
    entry("shop.mybrand.co"),
    entry("other.mybrand.co", TENANT_B),
    entry("soon.mybrand.co", live=False),
    entry("*.wild.example"),
    entry("own.wild.example", TENANT_B),
    entry("*.deep.example", TENANT_B),
    entry("acme.platform.io", platform=True),
    entry("zeta.platform.io", TENANT_B, platform=True),
)
KNOWN_TOKEN = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"
KEY_AUTHORIZATION = KNOWN_TOKEN + ".9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"


class Names:
    """Exact wins, then the wildcard of one label; what is named `…-unknown.test` is not known yet."""

    def __init__(self, *entries: Entry) -> None:
        self.entries = {found.hostname: found for found in entries}
        self.stale = False

    def lookup(self, host: str) -> Entry | Unknown:
        wildcard = "*." + host.partition(".")[2]
        found = self.entries.get(host) or self.entries.get(wildcard)
        return found or (Unknown.MISS if host.endswith("-unknown.test") else Unknown.ABSENT)


class Tokens:
    def lookup(self, token: str) -> str | None:
        return {KNOWN_TOKEN: KEY_AUTHORIZATION}.get(token)


def secure(host: str, sni: str | None = None, path: str = "/") -> bytes:
    """A request on the TLS listener; without an SNI given, it is the host."""
    request = CheckRequest()
    request.attributes.request.http.host = host
    request.attributes.request.http.path = path.encode()
    request.attributes.tls_session.sni = host if sni is None else sni
    return request.SerializeToString()


def plain(host: str, path: str | bytes = "/", listener: str = "http") -> bytes:
    request = CheckRequest()
    request.attributes.request.http.host = host
    request.attributes.request.http.path = path if isinstance(path, bytes) else path.encode()
    request.attributes.context_extensions[LISTENER] = listener
    return request.SerializeToString()


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
