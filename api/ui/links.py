"""Hand-over links: from a token of the REST API to a session of the pages, without a password of ours.

    <origin>/ui/enter?ticket=<base64url of {"v":1,"t"|"o":…,"s":…,"d":…,"e":…,"n":…}>.<base64url of its HMAC-SHA256>

A ticket is good for LIFETIME and once: the session that it begins keeps its digest. It stands in an address, so neither
log nor page of ours repeats it, and the page that takes it is left at once.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from api.auth import Operator, Principal
from api.ui.refusals import Refused

LIFETIME = timedelta(seconds=60)
MAX_TICKET = 2048  # room for a subject of 255 characters of ASCII, which is what OpenID Connect allows
VERSION = 1


@dataclass(frozen=True, slots=True)
class Link:
    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Ticket:
    """`domain`: whose page is opened; None: the list. `digest`: what says that it was used."""

    who: Principal | Operator
    domain: UUID | None
    digest: bytes
    made_at: datetime


class SigningKeys(Protocol):
    async def key(self) -> bytes:
        """The key, the same in all replicas. Raises api.endpoints.SecretsUnavailable."""
        ...

    async def newer(self) -> bytes:
        """The same, looked up anew unless that was a moment ago."""
        ...


class Links:
    """`origin`: where browsers reach the pages, as https://domains.example.com."""

    def __init__(self, keys: SigningKeys, origin: str, now: Callable[[], datetime]) -> None:
        self._keys = keys
        self._origin = origin
        self._now = now

    async def make(self, who: Principal | Operator, domain: UUID | None = None) -> Link:
        """Raises api.endpoints.SecretsUnavailable."""
        expires_at = self._now() + LIFETIME
        body = _encode(_payload(who, domain, expires_at))
        signature = _encode(_sign(await self._keys.key(), body))
        return Link(f"{self._origin}/ui/enter?ticket={body}.{signature}", expires_at)

    async def read(self, ticket: str) -> Ticket:
        """Raises Refused (ticket_forged, ticket_expired) and api.endpoints.SecretsUnavailable."""
        body, dot, signature = ticket.partition(".")
        if len(ticket) > MAX_TICKET or not ticket.isascii() or not dot:
            raise Refused("ticket_forged")
        # As text: a signature has several spellings in base64, and each would be a ticket that nobody has used.
        made = signature.encode()
        # The second: another replica may sign with a key that was put into Vault since.
        if not _is_signed(body, made, await self._keys.key()) and not _is_signed(body, made, await self._keys.newer()):
            raise Refused("ticket_forged")
        fields = json.loads(_decode(body))  # what we have signed, we have written
        if fields.get("v") != VERSION:
            raise Refused("ticket_expired")
        expires_at = datetime.fromtimestamp(fields["e"], UTC)
        if self._now() >= expires_at:
            raise Refused("ticket_expired")
        domain = None if fields["d"] is None else UUID(fields["d"])
        return Ticket(_who(fields), domain, hashlib.sha256(ticket.encode()).digest(), expires_at - LIFETIME)


def _payload(who: Principal | Operator, domain: UUID | None, expires_at: datetime) -> bytes:
    whose = {"t": str(who.tenant_id)} if isinstance(who, Principal) else {"o": True}
    fields = {
        "v": VERSION,
        **whose,
        "s": who.subject,
        "d": None if domain is None else str(domain),
        "e": expires_at.timestamp(),
        "n": secrets.token_urlsafe(16),
    }
    return json.dumps(fields, separators=(",", ":")).encode()


def _who(fields: Mapping[str, Any]) -> Principal | Operator:
    if "t" in fields:
        return Principal(UUID(fields["t"]), str(fields["s"]))
    return Operator(str(fields["s"]))


def _is_signed(body: str, signature: bytes, key: bytes) -> bool:
    return hmac.compare_digest(_encode(_sign(key, body)).encode(), signature)


def _sign(key: bytes, body: str) -> bytes:
    return hmac.digest(key, f"nameplate ticket {body}".encode(), "sha256")


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise Refused("ticket_forged") from None
