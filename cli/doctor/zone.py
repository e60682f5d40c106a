"""The zone for DNS-01: a record can be written, all its servers show it, and it can be removed."""

from __future__ import annotations

from collections.abc import Sequence
from secrets import token_urlsafe

from cli.doctor.finding import Finding, found, well
from control.certificates.dns01 import authoritative, updater
from control.dns.resolver import resolvers
from control.dns.update import DnsUpdateError
from control.settings import ControlSettings

WHAT = "zone for DNS-01"


async def examine(settings: ControlSettings) -> Sequence[Finding]:
    if settings.acme_dns_zone is None:
        return [well(WHAT, "none, so there are no wildcards")]
    name, value = f"nameplate-doctor.{settings.acme_dns_zone}", token_urlsafe(16)
    try:
        servers = authoritative(settings, resolvers(settings.dns_resolvers))
        changes = updater(settings)
        await changes.add(name, [value])
        try:
            await servers.wait(name, [value])
        finally:
            await changes.remove(name, [value])
    except DnsUpdateError as error:
        return [found("zone_unwritable", WHAT, error.message)]
    except ValueError as error:
        return [found("resolvers_unusable", WHAT, str(error))]
    return [well(WHAT, "takes records, and its servers show them")]
