"""Who a request's client is, where a domain asks for client certificates: after all other rules let the request pass.

Synchronous, no I/O. Envoy asks for the certificate on a filter chain of the domain's own, which it picks by the SNI
alone; so a request may be here without that chain having had a word in it. In order:

1. The SNI is not the very host: CLIENT_MISDIRECTED. No other name's connection serves the domain, whatever the
   certificates cover (HTTP/2 clients coalesce, and a Host may say anything).
2. There is no certificate: CLIENT_CERTIFICATE_MISSING if one is required, else it passes as nobody. On the domain's own
   chain the handshake would have failed, so the connection is of another chain: an older one than the domain's wish, or
   one that was opened while the chain was being made.
3. It and its chain are too long to be looked at: CLIENT_HEADERS_TOO_LARGE. They are long, and the tenant's clients have
   sent so much of that lately that it takes too much of the time of all: 503.
4. The certificate is not good now (sidecar.authz.client_trust): refused, by why.
5. Consumers are looked up, and it is none's: CLIENT_UNKNOWN.
6. What is to be said of it is more than Envoy adds to a request: CLIENT_HEADERS_TOO_LARGE.
7. It passes, as whom the headers say.

What is found about a certificate is kept, and holds until the settings of the domain, the consumers of its tenant or
the clock have it otherwise: nothing is read or verified twice. Of the time of all, a tenant has an allowance for each
of these (sidecar.authz.allowance): to read settings that have changed, to look at certificates that are new, to look
again at known ones, and to carry long chains. Beyond it, what takes that kind of time is answered 503 for a while.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from core.hostname import normalize_host_header, normalize_sni
from sidecar.authz import refusal
from sidecar.authz.allowance import Allowance
from sidecar.authz.kept import Kept
from sidecar.authz.refusal import Refusal
from sidecar.edge.model import ClientAuth, Consumer, Edge
from sidecar.wire.check_pb2 import CheckRequest

if TYPE_CHECKING:
    from sidecar.authz.client_examination import Examination

FORWARDED: Final = "x-forwarded-client-cert"
# Certificates whose standing is kept, about 1 kB each, and octets of what is said of them.
KEPT: Final = 16_384
KEPT_OCTETS: Final = 16 * 1024 * 1024
# Domains whose settings are held against what was found, and kept as they were read.
KEPT_DOMAINS: Final = 2_048
# Seconds. What took less has another allowance when it is looked at again, and a larger one: settings change for all of
# a tenant's clients at one moment, 10,000 perhaps.
CHEAP: Final = 0.005
AGAIN: Final = 4.0
# Octets of what a client has sent, URL-encoded: its certificate twice, and the chain. An honest chain of four has 8 kB,
# one of six of 2 to 3 kB each, as PEM, 15 to 22 kB.
MAX_SHOWN: Final = 32 * 1024
# What is shown beyond so many octets is paid for, in seconds an octet, with each request: Envoy sends all of it anew.
FREE: Final = 12 * 1024
TO_CARRY: Final = 3e-9


@dataclass(frozen=True, slots=True, eq=False)
class Client:
    """`headers`: names in lower case, each once; values printable ASCII. None of them: nobody in particular.

    Equal to itself only, as what something else is kept under.
    """

    headers: tuple[tuple[str, str], ...]
    consumer: Consumer | None = None

    @property
    def octets(self) -> int:
        """What the headers weigh."""
        return sum(len(key) + len(value) for key, value in self.headers)


ANONYMOUS: Final = Client(())


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """What a domain's clients are held against now. `mark`: of what is found by it, which must not keep it alive."""

    auth: ClientAuth
    consumers: tuple[Consumer, ...]
    mark: object = field(default_factory=object)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """It holds from `since` until before `until`, while `mark` is that of what the domain asks.

    `took`: seconds of the processor.
    """

    mark: object
    since: float
    until: float
    found: Client | Refusal
    took: float


class Clients:
    """`now`: Unix seconds. `worked`: seconds of the processor."""

    def __init__(self, now: Callable[[], float] = time.time, worked: Callable[[], float] = time.thread_time) -> None:
        self._now = now
        self._worked = worked
        self._reading = Allowance()
        self._new = Allowance()
        self._again = Allowance(AGAIN)
        self._carrying = Allowance()
        self._asked: OrderedDict[str, _Asked] = OrderedDict()
        self._verdicts: Kept[bytes, _Verdict] = Kept(KEPT, KEPT_OCTETS)
        self._examination: Examination | None = None

    def decide(
        self, edge: Edge, auth: ClientAuth, host_header: str, sni: str, certificate: bytes, forwarded: bytes
    ) -> Client | Refusal:
        """`auth`: what the host's domain asks for, by this edge. `certificate`, `forwarded`: of `shown`."""
        host = normalize_host_header(host_header)
        if host is None or (sni != host and normalize_sni(sni) != host):
            return refusal.CLIENT_MISDIRECTED
        if not certificate:
            return refusal.CLIENT_CERTIFICATE_MISSING if auth.required else ANONYMOUS
        now = self._now()
        octets = len(certificate) + len(forwarded)
        if octets > FREE:
            if octets > MAX_SHOWN:
                return refusal.CLIENT_HEADERS_TOO_LARGE
            if self._carrying.is_spent(auth.tenant_id, now):
                return refusal.UNAVAILABLE
            self._carrying.spend(auth.tenant_id, now, (octets - FREE) * TO_CARRY)
        consumers = edge.consumers.get(auth.tenant_id, ()) if auth.lookup else ()
        asked = self._asked.get(auth.domain_id)
        if asked is None or asked.auth is not auth or asked.consumers is not consumers:
            asked = self._ask(auth, consumers)
        key = _key(auth.domain_id, certificate, forwarded)
        kept = self._verdicts.get(key)
        if kept is not None and kept.mark is asked.mark and kept.since <= now < kept.until:
            return kept.found
        allowance = self._again if kept is not None and kept.took < CHEAP else self._new
        return self._look(asked, key, certificate, forwarded, now, allowance)

    def forget(self, edge: Edge) -> None:
        """What was kept of settings and consumers that are none any more, by this edge: it may be large."""
        for domain_id, asked in list(self._asked.items()):
            auth = edge.client_auth.get(domain_id)
            consumers = edge.consumers.get(asked.auth.tenant_id, ())
            if auth is not asked.auth or (auth.lookup and asked.consumers is not consumers):
                del self._asked[domain_id]
        if self._examination is not None:
            self._examination.forget(edge)

    def _ask(self, auth: ClientAuth, consumers: tuple[Consumer, ...]) -> _Asked:
        self._asked.pop(auth.domain_id, None)
        asked = self._asked[auth.domain_id] = _Asked(auth, consumers)
        if len(self._asked) > KEPT_DOMAINS:
            self._asked.popitem(last=False)
        return asked

    def _look(
        self, asked: _Asked, key: bytes, certificate: bytes, forwarded: bytes, now: float, allowance: Allowance
    ) -> Client | Refusal:
        """The settings are paid for by themselves: no client, new or known, can hide them behind its own look."""
        tenant_id = asked.auth.tenant_id
        if self._examination is None:
            from sidecar.authz.client_examination import Examination  # noqa: PLC0415 -- late: see there

            self._examination = Examination()
        if not self._examination.has_read(asked.auth):
            if self._reading.is_spent(tenant_id, now):
                return refusal.UNAVAILABLE
            started = self._worked()
            self._examination.read(asked.auth)
            self._reading.spend(tenant_id, now, self._worked() - started)
        if allowance.is_spent(tenant_id, now):
            return refusal.UNAVAILABLE
        started = self._worked()
        found = self._examination.examine(asked.auth, asked.consumers, certificate, forwarded, now)
        took = self._worked() - started
        allowance.spend(tenant_id, now, took)
        octets = found.client.octets if isinstance(found.client, Client) else 0
        self._verdicts.keep(key, _Verdict(asked.mark, *found, took), octets, tenant_id)
        return found.client


def shown(attributes: CheckRequest.Attributes) -> tuple[bytes, bytes]:
    """Of a check: the client's certificate, as URL-encoded PEM, and the header in which Envoy names its chain.

    Each empty if there is none. The certificate is the connection's own. The chain is worth no trust, and needs none.
    """
    for raw in attributes.request.http.headers:
        if FORWARDED.encode() in raw:
            entry = CheckRequest.HeaderEntry.FromString(raw)
            if entry.key == FORWARDED:
                return attributes.source.certificate, entry.value
    return attributes.source.certificate, b""


def _key(domain_id: str, certificate: bytes, forwarded: bytes) -> bytes:
    """The two cannot be told apart wrongly: neither PEM nor what is URL-encoded has a NUL."""
    digest = hashlib.sha256(domain_id.encode())
    for part in (certificate, forwarded):
        digest.update(b"\0")
        digest.update(part)
    return digest.digest()
