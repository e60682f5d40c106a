"""What a domain asks of its clients' certificates, and what a client without one is told."""

from __future__ import annotations

import asyncio
from typing import Any, Final, TypeAlias

from cachetools import LRUCache

from core.client_auth import ClientAuthError, ClientTrust
from sidecar.authz import refusal
from sidecar.authz.client import Client
from sidecar.authz.client import Clients as Examiner
from sidecar.authz.refusal import Refusal
from sidecar.directory.entry import Entry
from sidecar.edge.model import CLIENT_AUTH, CLIENT_CA_SECRET, ClientAuth
from sidecar.explain.holders import holders_of
from sidecar.explain.service import authorities
from sidecar.explain.sources import Clients, EdgeTable
from sidecar.xds.types import SECRET

SHUT: Final = "shut"
KEPT: Final = 64  # domains whose authorities and lists are kept as they were read

Facts: TypeAlias = "dict[str, Any]"


class ClientAuthSection:
    def __init__(self, table: EdgeTable, clients: Clients) -> None:
        self._table = table
        self._clients = clients
        self._examiner = Examiner()  # of its own: what is asked here is kept nowhere that traffic looks
        self._read: LRUCache[str, tuple[ClientAuth, Facts]] = LRUCache(KEPT)  # by domain
        self._reading = asyncio.Lock()  # one at a time: threads take turns with the loop, each as often as it does

    async def prepare(self, entry: Entry) -> None:
        """Read the domain's authorities and lists, which takes up to 60 ms, beside the loop that answers checks."""
        edge = self._table.current
        wanted = None if edge is None else edge.client_auth.get(entry.domain_id)
        if wanted is None or self._has_read(wanted):
            return
        async with self._reading:
            if not self._has_read(wanted):
                self._read[wanted.domain_id] = wanted, await asyncio.to_thread(_trust, wanted)

    def describe(self, entry: Entry) -> dict[str, Any] | None:
        """None: the domain asks for no client certificate, as far as is known."""
        edge = self._table.current
        if edge is None or not entry.domain_id:
            return None
        if edge.is_shut(entry.domain_id):
            return {"mode": SHUT, "reason": edge.left_out[(CLIENT_AUTH, entry.domain_id)]}
        wanted = edge.client_auth.get(entry.domain_id)
        if wanted is None:
            return {"mode": SHUT, "reason": "What is asked for is not loaded yet."} if entry.client_auth else None
        return {
            "mode": "required" if wanted.required else "optional",
            "lookup": wanted.lookup,
            "identity_by": list(wanted.identity_by),
            "groups_from": wanted.groups_from,
            "consumers": len(edge.consumers.get(entry.tenant_id, ())),
            **(self._read[wanted.domain_id][1] if self._has_read(wanted) else _trust(wanted)),
            "envoys": holders_of(self._clients, SECRET, CLIENT_CA_SECRET + entry.domain_id),
        }

    def without_certificate(self, entry: Entry, host: str, sni: str) -> Client | Refusal | None:
        """As a check of a request that the policy lets pass. None: nobody asks for a certificate."""
        edge = self._table.current
        if edge is None:
            return refusal.UNAVAILABLE
        wanted = edge.client_auth.get(entry.domain_id)
        if wanted is None:
            return refusal.UNAVAILABLE if entry.client_auth else None
        return self._examiner.decide(edge, wanted, host, sni, b"", b"")

    def _has_read(self, wanted: ClientAuth) -> bool:
        known = self._read.get(wanted.domain_id)
        return known is not None and known[0] == wanted


def _trust(wanted: ClientAuth) -> Facts:
    crl_pem = None if wanted.crl_pem is None else wanted.crl_pem.decode(errors="replace")
    try:
        trust = ClientTrust.read(wanted.ca_pem.decode(errors="replace"), crl_pem)
    except ClientAuthError as error:
        return {"cas": [], "crls": [], "reason": error.message}
    crls = [
        {"issuer": one.issuer, "since": one.since.isoformat(), "until": one.until.isoformat(), "revoked": one.revoked}
        for one in trust.crls
    ]
    return {"cas": authorities(trust.authorities), "crls": crls, "reason": None}
