"""What DNS-01 needs on this machine: a zone of the platform's on Knot, and a resolver that knows it and the others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from embedded import debian
from embedded.knot import KnotZone
from embedded.unbound import Unbound


@dataclass(frozen=True, slots=True)
class ChallengeZone:
    """`resolver`: `address:port`. `settings`: control's."""

    knot: KnotZone
    resolver: str
    settings: Mapping[str, str] = field(repr=False)

    @classmethod
    @asynccontextmanager
    async def start(cls, home: Path, zone: str, others: Mapping[str, str]) -> AsyncIterator[ChallengeZone]:
        """`others`: the `address:port` of who serves each of the other zones, and all below it.

        Raises `ServerFailed`, or `PackageMissing` when the programs could not be installed.
        """
        debian.ensure("knot")
        debian.ensure("unbound")
        async with KnotZone.start(home, zone, secondaries=1) as knot:
            served = {name: [address] for name, address in others.items()} | {zone: knot.addresses}
            async with Unbound.start(home, served) as unbound:
                settings = {
                    "NAMEPLATE_ACME_DNS_ZONE": zone,
                    "NAMEPLATE_ACME_DNS_SERVER": knot.primary.address,
                    "NAMEPLATE_ACME_DNS_SERVERS": ",".join(knot.addresses),
                    "NAMEPLATE_ACME_DNS_TSIG_NAME": knot.key.name,
                    "NAMEPLATE_ACME_DNS_TSIG_SECRET": knot.key.secret,
                    "NAMEPLATE_DNS_RESOLVERS": unbound.address,
                }
                yield cls(knot, unbound.address, settings)
