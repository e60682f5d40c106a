"""Who a request's client is, where a domain asks for client certificates: after all other rules let the request pass.

Synchronous, no I/O. Envoy asks for the certificate on a filter chain of the domain's own, which it picks by the SNI
alone; so a request may be here without that chain having had a word in it. In order:

1. The SNI is not the very host: CLIENT_MISDIRECTED. No other name's connection serves the domain, whatever the
   certificates cover (HTTP/2 clients coalesce, and a Host may say anything).
2. There is no certificate: CLIENT_CERTIFICATE_MISSING if one is required, else it passes as nobody. On the domain's own
   chain the handshake would have failed, so the connection is of another chain: an older one than the domain's wish, or
   one that was opened while the chain was being made.
3. It and its chain are too long to be looked at: CLIENT_HEADERS_TOO_LARGE.
4. The certificate is not good now (sidecar.authz.client_trust): refused, by why.
5. Consumers are looked up, and it is none's: CLIENT_UNKNOWN.
6. What is to be said of it is more than Envoy adds to a request: CLIENT_HEADERS_TOO_LARGE.
7. It passes, as whom the headers say.

What is found about a certificate is kept, and holds until the settings of the domain, the consumers of its tenant or
the clock have it otherwise: nothing is read or verified twice. A tenant whose clients take too much of the time of
all has new ones answered 503 for a while (sidecar.authz.allowance).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
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
# Seconds. What took less is looked at again at any time: settings change for all of a tenant's clients at one moment.
CHEAP: Final = 0.005
# Octets of what a client has sent; an honest chain of four is 8 kB, URL-encoded.
MAX_SHOWN: Final = 64 * 1024


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


@dataclass(frozen=True, slots=True)
class _Verdict:
    """`auth`, `consumers`: the very objects that it was found by. It holds from `since` until before `until`.

    `took`: seconds of the processor.
    """

    auth: ClientAuth
    consumers: tuple[Consumer, ...]
    since: float
    until: float
    found: Client | Refusal
    took: float = 0.0


class Clients:
    """`now`: Unix seconds. `worked`: seconds of the processor."""

    def __init__(self, now: Callable[[], float] = time.time, worked: Callable[[], float] = time.thread_time) -> None:
        self._now = now
        self._worked = worked
        self._allowance = Allowance()
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
        if len(certificate) + len(forwarded) > MAX_SHOWN:
            return refusal.CLIENT_HEADERS_TOO_LARGE
        consumers = edge.consumers.get(auth.tenant_id, ())
        key = _key(auth.domain_id, certificate, forwarded)
        kept = self._verdicts.get(key)
        now = self._now()
        if kept is not None and kept.auth is auth and kept.consumers is consumers and kept.since <= now < kept.until:
            return kept.found
        cheap = kept is not None and kept.took < CHEAP
        if not cheap and self._allowance.is_spent(auth.tenant_id, now):
            return refusal.UNAVAILABLE
        started = self._worked()
        verdict = self._examine(auth, consumers, certificate, forwarded, now)
        verdict = replace(verdict, took=self._worked() - started)
        if not cheap:
            self._allowance.spend(auth.tenant_id, now, verdict.took)
        self._verdicts.keep(key, verdict, verdict.found.octets if isinstance(verdict.found, Client) else 0)
        return verdict.found

    def _examine(
        self, auth: ClientAuth, consumers: tuple[Consumer, ...], certificate: bytes, forwarded: bytes, now: float
    ) -> _Verdict:
        if self._examination is None:
            from sidecar.authz.client_examination import Examination  # noqa: PLC0415 -- late: see there

            self._examination = Examination()
        return _Verdict(auth, consumers, *self._examination.examine(auth, consumers, certificate, forwarded, now))


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
