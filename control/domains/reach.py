"""Whether requests for a name come to the platform although its addresses are somebody else's: it is behind a proxy.

A token that every sidecar answers is asked for at the name's own addresses (control.preflight.probe: public ones only).
"""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

from control.preflight.port80 import chosen
from control.preflight.probe import Prober
from control.preflight.tokens import ProbeTokens
from core.domain import Domain


class Reach:
    """A `control.dns.presence.Probe`."""

    def __init__(self, tokens: ProbeTokens, prober: Prober) -> None:
        self._tokens = tokens
        self._prober = prober

    async def __call__(self, domain: Domain, addresses: frozenset[str]) -> bool:
        """`addresses`: of IPv4 and IPv6, in text. Raises what PostgreSQL raises."""
        tried = chosen([ip_address(address) for address in addresses])
        async with self._tokens.published(domain.id) as token:
            probes = await asyncio.gather(*(self._prober.probe(one, domain.hostname, token) for one in tried))
        return any(probe.result == "answered" for probe in probes)
