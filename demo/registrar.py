"""What a person does at a registrar: takes the records of the instructions and puts them in the zone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from embedded.dns_process import DnsProcess

Record = tuple[str, str, str]  # name, type, value


def records(instructions: Mapping[str, Any], *, apex: bool) -> Sequence[Record]:
    """Those that a subdomain or an apex needs: where traffic goes, and the proof."""
    wanted = [instructions["apex" if apex else "subdomain"], instructions["verification"]]
    return [(record["name"], record["type"], record["value"]) for record in wanted]


async def publish(dns: DnsProcess, wanted: Sequence[Record]) -> None:
    for name, kind, value in wanted:
        await dns.replace(name, kind, value)
