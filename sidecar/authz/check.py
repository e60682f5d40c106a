"""One ext_authz check: the bytes of a CheckRequest in, the bytes of a CheckResponse out, or what must be loaded first.

Synchronous, no I/O, no clock. It does not know how it was called nor what loading means; it never raises on a request,
whatever its bytes. In order:

 1. A message that cannot be read: 403.

 On the TLS listener (no `nameplate.listener` among the context extensions):
 2. The connection is not TLS, so Envoy is configured wrongly: 421.
 3. The host is no hostname, unknown, or not live: the 404 page.
 4. The certificate that the SNI got does not cover the host: 421. It covers the host when
    a. the SNI is the host; or
    b. there was no SNI, so the default certificate was served, and the host is a platform subdomain; or
    c. SNI and host are both platform subdomains (the default certificate); or
    d. SNI and host are matched by the same wildcard row (one certificate).
 5. OK, with x-tenant-id and x-nameplate-host.

 On the plain listener (any value of `nameplate.listener`), where nothing is ever OK:
 6. `/.well-known/acme-challenge/<token>`: 200 with the key authorization of a known token, whatever the host (a token
    is unguessable, and the CA may have followed a redirect); 404 for another.
 7. The host is live: 308 to https on the default port, path and query kept.
 8. Otherwise: the 404 page.

Where the directory or the challenges do not know, the answer is `Pending`. The caller loads that and checks again,
naming what the load found to be absent; UNAVAILABLE is the answer when it cannot.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from enum import Enum
from typing import Protocol
from urllib.parse import quote

from google.protobuf.message import DecodeError

from core.hostname import normalize_host_header, normalize_sni
from sidecar.authz import replies
from sidecar.directory.entry import Entry, Unknown
from sidecar.wire.check_pb2 import CheckRequest

LISTENER = "nameplate.listener"
CHALLENGE_PREFIX = b"/.well-known/acme-challenge/"

# RFC 8555, 8.3: base64url. CAs use 22 to 43 characters; more than 128 is not worth a look-up.
_token = re.compile(rb"[A-Za-z0-9_-]{1,128}").fullmatch
_printable_path = re.compile(rb"/[!-~]*").fullmatch
PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))

# Finished OK replies that are kept, about 0.3 kB each.
REPLIES_KEPT = 65_536


class Names(Protocol):
    def lookup(self, host: str) -> Entry | Unknown: ...


class Tokens(Protocol):
    def lookup(self, token: str) -> str | None: ...


class Kind(Enum):
    HOSTNAME = "hostname"
    TOKEN = "token"  # noqa: S105 - the kind, not a secret


@dataclass(frozen=True, slots=True)
class Pending:
    """What must be loaded before the check can be answered."""

    kind: Kind
    key: str


class Outcome(Enum):
    """How a check ended, for the metrics."""

    OK = "ok"
    NOT_CONFIGURED = "not_configured"
    MISDIRECTED = "misdirected"
    REDIRECTED = "redirected"
    CHALLENGE = "challenge"
    UNKNOWN_CHALLENGE = "unknown_challenge"
    UNREADABLE = "unreadable"
    UNAVAILABLE = "unavailable"


FIXED = {
    Outcome.NOT_CONFIGURED: replies.NOT_CONFIGURED,
    Outcome.MISDIRECTED: replies.MISDIRECTED,
    Outcome.UNKNOWN_CHALLENGE: replies.UNKNOWN_CHALLENGE,
    Outcome.UNREADABLE: replies.UNREADABLE,
    Outcome.UNAVAILABLE: replies.UNAVAILABLE,
}

NOTHING: Set[Pending] = frozenset()


class Checker:
    def __init__(self, names: Names, tokens: Tokens) -> None:
        self._names = names
        self._tokens = tokens
        # hostname of the row → (tenant, reply); oldest out first. An entry whose tenant changed is built anew.
        self._replies: dict[str, tuple[str, bytes]] = {}
        self._passed = 0
        self._refused = dict.fromkeys(Outcome, 0)

    def check(self, request: bytes, absent: Set[Pending] = NOTHING) -> bytes | Pending:
        """`absent`: what a load has just found not to exist."""
        try:
            attributes = CheckRequest.FromString(request).attributes
        except DecodeError:
            return self._fixed(Outcome.UNREADABLE)
        http = attributes.request.http
        if LISTENER in attributes.context_extensions:
            return self._plain(http.path, http.host, absent)
        if not attributes.HasField("tls_session"):
            return self._fixed(Outcome.MISDIRECTED)
        return self._secure(http.host, attributes.tls_session.sni, absent)

    def unavailable(self) -> bytes:
        """The answer when what is pending could not be loaded."""
        return self._fixed(Outcome.UNAVAILABLE)

    def stats(self) -> Mapping[str, int]:
        """Checks answered so far, by outcome."""
        refused = {outcome.value: count for outcome, count in self._refused.items()}
        return {**refused, Outcome.OK.value: self._passed}

    def _secure(self, host_header: str, sni: str, absent: Set[Pending]) -> bytes | Pending:
        host = normalize_host_header(host_header)
        entry = self._find(host, absent)
        if isinstance(entry, Pending):
            return entry
        if entry is None or not entry.live:
            return self._fixed(Outcome.NOT_CONFIGURED)
        if sni != host:
            covered = self._covers(sni, host, entry, absent)
            if isinstance(covered, Pending):
                return covered
            if not covered:
                return self._fixed(Outcome.MISDIRECTED)
        self._passed += 1
        kept = self._replies.get(entry.hostname)
        return kept[1] if kept is not None and kept[0] == entry.tenant_id else self._keep(entry)

    def _covers(self, sni: str, host: str | None, entry: Entry, absent: Set[Pending]) -> bool | Pending:
        if not sni:
            return entry.platform
        asked = normalize_sni(sni)
        if asked == host:
            return True
        served = self._find(asked, absent)
        if isinstance(served, Pending):
            return served
        if served is None:
            return False
        return (served.platform and entry.platform) or served.hostname == entry.hostname

    def _plain(self, path: bytes, host_header: str, absent: Set[Pending]) -> bytes | Pending:
        if path.startswith(CHALLENGE_PREFIX):
            return self._challenge(path[len(CHALLENGE_PREFIX) :].partition(b"?")[0], absent)
        host = normalize_host_header(host_header)
        entry = self._find(host, absent)
        if isinstance(entry, Pending):
            return entry
        if entry is None or not entry.live or not path.startswith(b"/"):
            return self._fixed(Outcome.NOT_CONFIGURED)
        # What is not printable ASCII, CR and LF above all, is percent-encoded.
        target = path.decode("ascii") if _printable_path(path) else quote(path, safe=PRINTABLE)
        self._refused[Outcome.REDIRECTED] += 1
        return replies.redirect(f"https://{host}{target}")

    def _challenge(self, raw: bytes, absent: Set[Pending]) -> bytes | Pending:
        if _token(raw) is None:
            return self._fixed(Outcome.UNKNOWN_CHALLENGE)
        token = raw.decode("ascii")
        key_authorization = self._tokens.lookup(token)
        if key_authorization is None:
            pending = Pending(Kind.TOKEN, token)
            return self._fixed(Outcome.UNKNOWN_CHALLENGE) if pending in absent else pending
        self._refused[Outcome.CHALLENGE] += 1
        return replies.challenge(key_authorization)

    def _find(self, host: str | None, absent: Set[Pending]) -> Entry | Pending | None:
        if host is None:
            return None
        found = self._names.lookup(host)
        if isinstance(found, Entry):
            return found
        if found is Unknown.ABSENT:
            return None
        pending = Pending(Kind.HOSTNAME, host)
        return None if pending in absent else pending

    def _keep(self, entry: Entry) -> bytes:
        reply = replies.ok(entry.tenant_id, entry.hostname)
        if len(self._replies) >= REPLIES_KEPT:
            del self._replies[next(iter(self._replies))]
        self._replies[entry.hostname] = (entry.tenant_id, reply)
        return reply

    def _fixed(self, outcome: Outcome) -> bytes:
        self._refused[outcome] += 1
        return FIXED[outcome]
