"""How a name is shown to the CA to be ours (RFC 8555 section 8): each kind of challenge, made ready and cleared."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Protocol

from josepy.b64 import b64encode

from control.acme.client import Client
from control.acme.order import DNS_01, HTTP_01, Authorization, Challenge
from control.certificates.ledger import Ledger, PublishedChallenge
from control.jobs import Job
from core.domain import Domain, Finding

# Sidecars that do not know a token read it from PostgreSQL; this wait only saves them the question.
CHALLENGE_SEEN = timedelta(seconds=1)

Waiting = Sequence[tuple[Authorization, Challenge]]


class Solver(Protocol):
    async def publish(self, job: Job, domain: Domain, client: Client, waiting: Waiting) -> None:
        """Return when the CA can find the answers. May be repeated."""

    async def remove(self, domain: Domain) -> None:
        """The answers are not needed any more. May be repeated."""


class DelegatedZone(Protocol):
    """The TXT records of a domain's delegated name. All raise control.dns.update.DnsUpdateError."""

    async def publish(self, domain: Domain, values: Sequence[str]) -> None: ...

    async def remove(self, domain: Domain) -> None: ...

    async def delegated(self, domain: Domain) -> Finding | None:
        """None: the tenant's CNAME is there; else what is there instead."""


class Http01:
    """Any Envoy of the fleet answers it, on port 80. `seen`: waits until the sidecars have read a transaction."""

    def __init__(self, ledger: Ledger, seen: Callable[[int, timedelta], Awaitable[None]]) -> None:
        self._ledger = ledger
        self._seen = seen

    async def publish(self, job: Job, domain: Domain, client: Client, waiting: Waiting) -> None:
        challenges = [
            PublishedChallenge(challenge.token, client.key_authorization(challenge.token), authorization.expires)
            for authorization, challenge in waiting
        ]
        await self._seen(await self._ledger.publish(job, challenges), CHALLENGE_SEEN)

    async def remove(self, domain: Domain) -> None:
        """They go with the order, in its transaction."""


class Dns01:
    """A TXT record at the name in the platform's zone to which the tenant's CNAME leads."""

    def __init__(self, zone: DelegatedZone) -> None:
        self._zone = zone

    async def publish(self, job: Job, domain: Domain, client: Client, waiting: Waiting) -> None:
        digests = (hashlib.sha256(client.key_authorization(one.token).encode()).digest() for _, one in waiting)
        await self._zone.publish(domain, [b64encode(digest).decode() for digest in digests])

    async def remove(self, domain: Domain) -> None:
        await self._zone.remove(domain)


async def kind_of(domain: Domain, zone: DelegatedZone | None) -> str:
    """1. DNS-01 for a wildcard, which has no other. 2. DNS-01 where the tenant has delegated it, which works before the
    traffic moves, behind a proxy, and without port 80. 3. HTTP-01.
    """
    if domain.hostname.startswith("*."):
        return DNS_01
    if zone is not None and await zone.delegated(domain) is None:
        return DNS_01
    return HTTP_01
