"""The figures put together: what is read from PostgreSQL, and what is known here."""

from __future__ import annotations

import functools
from typing import Any

import asyncpg
from prometheus_client import CollectorRegistry

from control.certificates.authorities import Authorities
from control.certificates.propagation import Propagation
from control.limits.limits import Limits
from control.metrics import cas, domains, work
from control.metrics.figures import Figures
from control.metrics.fleet import Fleet


def figures(
    registry: CollectorRegistry,
    pool: asyncpg.Pool[Any],
    authorities: Authorities,
    limits: Limits,
    propagation: Propagation,
) -> Figures:
    """`pool`: as the workers' role. `run` them."""
    fleet = Fleet(propagation)
    made = Figures(
        {
            "domains": functools.partial(domains.read, pool),
            "jobs": functools.partial(work.read_jobs, pool),
            "notifications": functools.partial(work.read_notifications, pool),
            "cas": functools.partial(cas.read, pool, authorities, limits),
            "feed": functools.partial(fleet.read, pool),
        }
    )
    registry.register(fleet)
    registry.register(made)
    return made
