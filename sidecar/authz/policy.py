"""Who may pass: the decision on a request or a connection, whatever protocol asks for it.

Synchronous, no I/O, no clock. It does not know how it was asked nor what loading means. In order:

 A request on the TLS listener:
 1. The host is no hostname, unknown, or not live: the 404 page.
 2. The certificate that the SNI got does not cover the host: 421. It covers the host when
    a. the SNI is the host; or
    b. there was no SNI, so the default certificate was served, and the host is a platform subdomain; or
    c. SNI and host are both platform subdomains (the default certificate); or
    d. SNI and host are matched by the same wildcard row (one certificate).
 3. The edge is not loaded, or what the domain asks of its clients' certificates cannot be read: 503.
 4. It passes.

 A request on the plain listener, where nothing ever passes:
 5. `/.well-known/acme-challenge/<token>`: 200 with the key authorization of a known token, whatever the host (a token
    is unguessable, and the CA may have followed a redirect); 404 for another.
 6. The host is live: 308 to https on the default port, path and query kept.
 7. Otherwise: the 404 page.

 A connection:
 8. Without SNI, or one that is no hostname, unknown, or not live: refused.
 9. The edge is not loaded, or the domain asks for client certificates: refused. Those are asked for by another lane.
10. The directory may lack changes: refused, since what is decided for a connection lasts longer than a request.
11. A wildcard row answers for the name: refused. The name may get a row of its own, of another tenant too, and nothing
    ends with that which open connections are told of.
12. It passes.

Where the directory or the challenges do not know, the decision is `Pending`. The caller loads that and asks again,
naming what the load found to be absent.
"""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass
from enum import Enum
from typing import Protocol
from urllib.parse import quote

from core.hostname import normalize_host_header, normalize_sni
from sidecar.authz import refusal
from sidecar.authz.refusal import Refusal
from sidecar.directory.entry import Entry, Unknown
from sidecar.edge.model import Edge

CHALLENGE_PREFIX = b"/.well-known/acme-challenge/"

# RFC 8555, 8.3: base64url. CAs use 22 to 43 characters; more than 128 is not worth a look-up.
_token = re.compile(rb"[A-Za-z0-9_-]{1,128}").fullmatch
_printable_path = re.compile(rb"/[!-~]*").fullmatch
PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))


class Names(Protocol):
    @property
    def stale(self) -> bool: ...

    def lookup(self, host: str) -> Entry | Unknown: ...


class Tokens(Protocol):
    def lookup(self, token: str) -> str | None: ...


class Edges(Protocol):
    """What all domains share (sidecar.edge.table). `current`: None until it is loaded."""

    @property
    def current(self) -> Edge | None: ...


class Kind(Enum):
    HOSTNAME = "hostname"
    TOKEN = "token"  # noqa: S105 - the kind, not a secret


@dataclass(frozen=True, slots=True)
class Pending:
    """What must be loaded before it can be decided."""

    kind: Kind
    key: str


NOTHING: Set[Pending] = frozenset()

# An entry: what asked may pass, as this row's.
Decision = Entry | Refusal | Pending


class Policy:
    """`absent`, everywhere: what a load has just found not to exist."""

    def __init__(self, names: Names, tokens: Tokens, edges: Edges) -> None:
        self._names = names
        self._tokens = tokens
        self._edges = edges

    def secure(self, host_header: str, sni: str, absent: Set[Pending] = NOTHING) -> Decision:
        """A request on the TLS listener. `sni`: "" for none."""
        host = normalize_host_header(host_header)
        entry = self._find(host, absent)
        if isinstance(entry, Pending):
            return entry
        if entry is None or not entry.live:
            return refusal.NOT_CONFIGURED
        covered = sni == host or self._covers(sni, host, entry, absent)
        if isinstance(covered, Pending):
            return covered
        if not covered:
            return refusal.MISDIRECTED
        edge = self._edges.current
        if edge is None or edge.is_shut(entry.domain_id):
            return refusal.UNAVAILABLE
        return entry

    def plain(self, host_header: str, path: bytes, absent: Set[Pending] = NOTHING) -> Refusal | Pending:
        """A request on the plain listener. `path`: with the query."""
        if path.startswith(CHALLENGE_PREFIX):
            return self._challenge(path[len(CHALLENGE_PREFIX) :].partition(b"?")[0], absent)
        host = normalize_host_header(host_header)
        entry = self._find(host, absent)
        if isinstance(entry, Pending):
            return entry
        if entry is None or not entry.live or not path.startswith(b"/"):
            return refusal.NOT_CONFIGURED
        # What is not printable ASCII, CR and LF above all, is percent-encoded.
        target = path.decode("ascii") if _printable_path(path) else quote(path, safe=PRINTABLE)
        return refusal.redirect(f"https://{host}{target}")

    def connection(self, sni: str, absent: Set[Pending] = NOTHING) -> Decision:
        """A TLS connection, for as long as it lasts. `sni`: "" for none."""
        name = normalize_sni(sni)
        entry = self._find(name, absent)
        if isinstance(entry, Pending):
            return entry
        if entry is None or not entry.live or self._names.stale or entry.hostname != name:
            return refusal.CONNECTION_REFUSED
        edge = self._edges.current
        if edge is None or edge.is_shut(entry.domain_id) or entry.domain_id in edge.client_auth or entry.client_auth:
            return refusal.CONNECTION_REFUSED
        return entry

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

    def _challenge(self, raw: bytes, absent: Set[Pending]) -> Refusal | Pending:
        if _token(raw) is None:
            return refusal.UNKNOWN_CHALLENGE
        token = raw.decode("ascii")
        key_authorization = self._tokens.lookup(token)
        if key_authorization is None:
            pending = Pending(Kind.TOKEN, token)
            return refusal.UNKNOWN_CHALLENGE if pending in absent else pending
        return refusal.challenge(key_authorization)

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
