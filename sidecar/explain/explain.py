"""What the data path would answer for a host now, as JSON values.

The decisions are the Policy's, the certificate is the Resolver's, the service is the edge's: the code that answers
Envoy, over the same memory. Nothing is counted and, unless it is asked for, nothing is read: what is not in memory is
said to be so. Nothing secret is said: neither keys nor key authorizations.

    asked        host, sni, path, load
    served       true · false · null (not in memory: ask with load)
    why          [{code, message}], of what stands in the way; empty when nothing does
    row          the directory's row, and how it was found
    decisions    request (TLS listener), plain (plain listener), connection (connection lane)
    service      name, cluster, from (domain, tenant, default), state, reason, in_force (an Envoy is told of it), tls,
                 envoys; with load: upstream, what its addresses answer
    certificate  secret, state, source, version, serial, names, not_after, last_failure …
    envoys       [{node, stream, version, told, rejected}] for the certificate
    client_auth  mode, cas, crls …; null: none is asked for
    lane         request or connection, as this sidecar configures Envoy
    listeners    the same for the listener https; empty where no Envoy is configured from here
    directory    stale, complete, position, feed_age, names, last_error (of the feed, since it was last read)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

from core.errors import NameplateError
from core.hostname import normalize_host_header, normalize_sni
from sidecar.authz import refusal
from sidecar.authz.client import Client
from sidecar.authz.policy import Decision, Kind, Pending, Policy
from sidecar.authz.refusal import Outcome, Refusal
from sidecar.directory.entry import Entry, Unknown, wildcard_of
from sidecar.directory.errors import LoadFailed
from sidecar.explain.certificate import CertificateSection
from sidecar.explain.client_auth import ClientAuthSection
from sidecar.explain.holders import holders_of
from sidecar.explain.question import Question
from sidecar.explain.service import HTTPS, ServiceSection
from sidecar.explain.sources import Clients, Directory
from sidecar.explain.verdict import verdict
from sidecar.readiness import Readiness
from sidecar.xds.resolver import ANSWER_DEADLINE, DEFAULT_NAME, Answer, Removed, Resolver
from sidecar.xds.resolver import Outcome as SecretOutcome
from sidecar.xds.types import LISTENER, SECRET

# Explanations that read at one time. Each takes of the data path's budget, so that no more is worth having.
LOADS_AT_ONCE: Final = 4


class ExplainBusy(NameplateError):
    def __init__(self) -> None:
        super().__init__("too_many_loads", f"{LOADS_AT_ONCE} explanations are being loaded; ask again shortly.")


class Loader(Protocol):
    async def load(self, host: str) -> Entry | None: ...


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load has given. `upstream`: what the service's addresses answer; None: there are none to ask."""

    answer: Answer
    upstream: list[dict[str, Any]] | None


class Explain:
    """`policy`, `resolver`: over an Uncounted directory. `lane`: as set."""

    def __init__(
        self,
        directory: Directory,
        loader: Loader,
        policy: Policy,
        resolver: Resolver,
        certificate: CertificateSection,
        service: ServiceSection,
        client_auth: ClientAuthSection,
        clients: Clients,
        readiness: Callable[[], Readiness],
        last_error: Callable[[], str | None],
        lane: str,
    ) -> None:
        self._directory = directory
        self._loader = loader
        self._policy = policy
        self._resolver = resolver
        self._certificate = certificate
        self._service = service
        self._client_auth = client_auth
        self._clients = clients
        self._readiness = readiness
        self._last_error = last_error
        self._lane = lane
        self._loading = 0

    async def answer(self, question: Question) -> dict[str, Any]:
        """Raises ExplainBusy."""
        if not question.load:
            await self._prepare(question)
            return self.explain(question)
        if self._loading >= LOADS_AT_ONCE:
            raise ExplainBusy
        self._loading += 1
        try:
            loaded = await self._load(question)
            await self._prepare(question)
            return self.explain(question, loaded)
        finally:
            self._loading -= 1

    def explain(self, question: Question, loaded: Loaded | None = None) -> dict[str, Any]:
        """From memory, and what was just loaded."""
        host, sni = normalize_host_header(question.host), normalize_sni(question.sni)
        row = None if host is None else self._directory.find(host)
        entry = row if isinstance(row, Entry) else None
        found = None if sni is None else self._directory.find(sni)
        secret = question.sni or DEFAULT_NAME
        answer = self._certified(question, sni) if loaded is None else loaded.answer
        service = None if entry is None else self._service.describe(entry)
        if service is not None and loaded is not None:
            service["upstream"] = loaded.upstream
        sections: dict[str, Any] = {
            "row": self._row(host, row),
            "decisions": self._decisions(question),
            "service": service,
            "certificate": self._certificate.describe(secret, found if isinstance(found, Entry) else None, answer),
            "envoys": holders_of(self._clients, SECRET, secret),
            "client_auth": None if entry is None else self._client_auth.describe(entry),
            "lane": self._lane,
            "listeners": holders_of(self._clients, LISTENER, HTTPS),
            "directory": asdict(self._readiness()) | {"last_error": self._last_error()},
        }
        served, why = verdict(sections)
        return {"asked": _asked(question), "served": served, "why": why, **sections}

    async def _prepare(self, question: Question) -> None:
        host = normalize_host_header(question.host)
        row = None if host is None else self._directory.find(host)
        if isinstance(row, Entry):
            await self._client_auth.prepare(row)

    def _certified(self, question: Question, sni: str | None) -> Answer:
        """What the SNI would get. Envoy asks for nothing on behalf of one that is no name (envoy/static.yaml)."""
        if question.sni and sni is None:
            return Removed(SecretOutcome.INVALID)
        return self._resolver.resolve(question.sni or DEFAULT_NAME, None)

    async def _load(self, question: Question) -> Loaded:
        """Have both names in memory, as far as they can be had, and look at the upstream."""
        host, sni = normalize_host_header(question.host), normalize_sni(question.sni)
        entry = None
        try:
            async with asyncio.timeout(ANSWER_DEADLINE):
                entry = None if host is None else await self._loader.load(host)
        except (LoadFailed, TimeoutError):
            pass  # it is said to be not in memory then
        if question.sni and sni is None:
            answer = self._certified(question, sni)
        else:
            answer = await self._resolver.load(question.sni or DEFAULT_NAME, None)
        return Loaded(answer, None if entry is None else await self._service.examine(entry))

    def _decisions(self, question: Question) -> dict[str, Any]:
        host, sni = question.host, question.sni
        decision: Decision = self._policy.secure(host, sni)
        without: Client | Refusal | None = None
        if isinstance(decision, Entry):
            without = self._client_auth.without_certificate(decision, host, sni)
        if without in (refusal.UNAVAILABLE, refusal.CLIENT_MISDIRECTED):  # whatever the certificate
            assert isinstance(without, Refusal)  # noqa: S101
            decision, without = without, None
        request = _decision(decision)
        if without is not None:
            request["without_certificate"] = _decision(without if isinstance(without, Refusal) else decision)
        return {
            "request": request,
            "plain": _decision(self._policy.plain(host, question.path)),
            "connection": _decision(self._policy.connection(sni)),
        }

    def _row(self, host: str | None, row: Entry | Unknown | None) -> dict[str, Any]:
        if isinstance(row, Entry):
            match = "platform" if row.platform else "exact" if row.hostname == host else "wildcard"
            return {
                "match": match,
                "hostname": row.hostname,
                "live": row.live,
                "tenant": row.tenant_id,
                "domain": row.domain_id or None,
            }
        if host is None:
            return _no_row("invalid", "This is no hostname that a domain could have.")
        if row is Unknown.MISS:
            return _no_row("not_in_memory", "The directory does not hold all names, and not this one.")
        platform = self._directory.platform
        if platform.owns(host):
            return _no_row("absent", f"No tenant has this subdomain of {platform.name}.")
        return _no_row("absent", f"Neither {host} nor {wildcard_of(host)} is a live domain.")


def _asked(question: Question) -> dict[str, Any]:
    path = question.path.decode("utf-8", "replace")
    host, sni = (text.encode("utf-8", "replace").decode() for text in (question.host, question.sni))
    return {"host": host, "sni": sni, "path": path, "load": question.load}


def _no_row(match: str, why: str) -> dict[str, Any]:
    return {"match": match, "hostname": None, "live": None, "tenant": None, "domain": None, "why": why}


def _decision(decision: Decision) -> dict[str, Any]:
    """`passes`: None when memory does not say."""
    match decision:
        case Refusal():
            headers = dict(decision.headers)
            answer: dict[str, Any] = {"passes": False, "outcome": decision.outcome.value, "status": decision.status}
            if "location" in headers:
                answer["location"] = headers["location"]
            return answer
        case Pending(kind, _):
            return {"passes": None, "outcome": "pending", "needs": "the name" if kind is Kind.HOSTNAME else "the token"}
        case _:
            return {"passes": True, "outcome": Outcome.OK.value, "tenant": decision.tenant_id, "row": decision.hostname}
