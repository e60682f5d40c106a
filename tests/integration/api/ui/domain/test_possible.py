"""A button is there only where what it asks for is not refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import asyncpg
from scenes.looked_at import bring, certify

from api.auth import Principal
from api.catalogue import CATALOGUE
from api.service import SSL_STATUSES, STATUSES, DomainsError, Unavailable
from api.ui.possible import possible
from control.domains.tenants import TenantDomains
from core.domain import Domain, NextAttempt

# What the machines never bring about.
UNREACHED = {(status, ssl) for status in ("pending", "dns_check") for ssl in ("paused",)}


async def test_what_a_button_asks_for_is_not_refused(
    domains: TenantDomains, domain: Domain, owner: Principal, control: asyncpg.Connection[Any]
) -> None:
    await certify(control, domain.id)
    at = datetime.now(UTC) + timedelta(hours=1)
    attempts = [NextAttempt(at, code, "…").to_json() for code in ("addresses_elsewhere", "ca_rate_limited")]
    shown = 0
    for status, ssl, waits, paused in product(STATUSES, SSL_STATUSES, (None, *attempts), (None, "issued")):
        if (status, ssl) in UNREACHED or (
            paused and (ssl != "paused" or status not in ("verified", "active", "moved"))
        ):
            continue
        state = {"status": status, "ssl_status": ssl, "next_attempt": waits, "paused_from": paused}
        await bring(control, domain.id, **state)
        can = possible(await domains.find(owner, domain.id))
        for action in ("verify", "pause", "resume", "renew"):
            if not getattr(can, action):
                continue
            await bring(control, domain.id, **state)
            shown += 1
            try:
                answer = await getattr(domains, action)(owner, domain.id)
            except Unavailable:
                raise
            except DomainsError as error:
                assert CATALOGUE[error.code].status == 429, (action, state, error)
            else:
                assert getattr(answer, "requested", True), (action, state)
    assert shown > 50
