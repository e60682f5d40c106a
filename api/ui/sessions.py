"""Who is looking at the pages: a session in the database, known by what the browser's cookie holds.

The cookie holds TOKEN_BYTES at random and nothing else; the database only their SHA-256. A form's token is derived from
the cookie's, so that whoever reads the database can neither enter nor forge a form.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from api.auth import Operator, Principal
from api.ui.links import Ticket

TOKEN_BYTES = 32
LONGEST = timedelta(hours=8)  # then somebody comes with a new link, whatever he was doing
IDLE = timedelta(hours=1)  # without a request; a page that is only kept up to date is none
_TOKEN_LENGTH = 43  # of TOKEN_BYTES in base64url without padding


@dataclass(frozen=True, slots=True)
class Session:
    """`who`: a tenant's person, or one of the platform. `expires_at`: at the latest."""

    id: UUID
    who: Principal | Operator
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Visitor:
    """A session with the token that its forms must carry."""

    session: Session
    csrf: str

    @property
    def session_id(self) -> UUID:
        return self.session.id

    @property
    def subject(self) -> str:
        return self.session.who.subject

    @property
    def is_operator(self) -> bool:
        return isinstance(self.session.who, Operator)

    @property
    def principal(self) -> Principal:
        """Raises TypeError for an operator, whom `Guard.tenant` lets through to no handler."""
        if not isinstance(self.session.who, Principal):
            raise TypeError("an operator's session has no tenant")
        return self.session.who

    @property
    def operator(self) -> Operator:
        """Raises TypeError for a tenant, whom `Guard.operator` lets through to no handler."""
        if not isinstance(self.session.who, Operator):
            raise TypeError("a tenant's session is no operator's")
        return self.session.who


class Sessions(Protocol):
    """Every method may raise api.service.Unavailable. `digest`: of the cookie's token."""

    async def begin(self, digest: bytes, ticket: Ticket) -> Session | None:
        """A new session, which uses the ticket up. None: it was used before.

        Raises Refused (ticket_ended): all sessions of its subject were ended since it was made.
        """
        ...

    async def find(self, digest: bytes, *, used: bool = True) -> Session | None:
        """The session, which is `used` now; None: there is none, or it has ended."""
        ...

    async def lasts(self, session_id: UUID) -> bool:
        """Whether it has not ended. This is no use of it."""
        ...

    async def end(self, session_id: UUID) -> None:
        """Nothing happens when it has ended."""
        ...

    async def end_all(self, caller: Principal | Operator, subject: str) -> int:
        """Of a subject of the caller's tenant, or of the platform; links too that nobody has followed yet.

        Returns how many were open.
        """
        ...


def tenant_of(who: Principal | Operator) -> UUID | None:
    """None: one of the platform's own people."""
    return who.tenant_id if isinstance(who, Principal) else None


def new_token() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)


def is_token(text: str) -> bool:
    """Whether it is worth a look into the database."""
    return len(text) == _TOKEN_LENGTH and text.isascii()


def digest_of(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def csrf_of(token: str) -> str:
    """What a form of this session must carry: says nothing about the token."""
    made = hmac.digest(token.encode(), b"nameplate form", "sha256")
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode()
