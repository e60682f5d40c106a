"""The operator's things put together: what the admin API uses, and what control runs beside it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import asyncpg
from prometheus_client import CollectorRegistry

from api.admin.upstreams import Upstreams
from control.services.choices import PlatformChoices
from control.services.expiry import ExpiryMetrics, ExpiryWatch
from control.services.identities import PlatformIdentities
from control.services.services import PlatformServices
from control.services.transactions import Transactions
from control.services.trust import PlatformTrust
from control.services.upkeep import Upkeep
from control.vault import Vault


def upstreams(pool: asyncpg.Pool[Any], vault: Vault) -> Upstreams:
    """`pool`: as the workers' role."""
    transactions = Transactions(pool)
    return Upstreams(
        PlatformServices(transactions),
        PlatformTrust(transactions),
        PlatformIdentities(transactions, vault),
        PlatformChoices(transactions),
    )


def upkeep(pool: asyncpg.Pool[Any], vault: Vault, registry: CollectorRegistry, now: Callable[[], datetime]) -> Upkeep:
    """`pool`: as the workers' role."""
    return Upkeep(pool, vault, ExpiryWatch(pool, ExpiryMetrics(registry), now))
