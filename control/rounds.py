"""Work that is done round after round for as long as the process lives, also when PostgreSQL or Vault is away."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog

from control.db.away import AWAY
from control.vault import VaultError

log = structlog.get_logger(__name__)


async def keep(
    work: Callable[[], Awaitable[int | None]],
    every: float,
    failed: str,
    *,
    first: float | None = None,
    batch: int | None = None,
) -> NoReturn:
    """Do `work` every `every` seconds, with jitter so that replicas do not meet; for the first time after `first`.

    `first=0`: at once. A round that has done a whole `batch` is followed by the next one at once. `failed`: what the
    log says when PostgreSQL was away, or Vault, or Vault refused; the next round does what was left.
    """
    pause = every if first is None else first
    while True:
        await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 -- jitter
        pause = every
        try:
            done = await work()
            if batch is not None and done == batch:
                pause = 0
        except VaultError as error:
            log.warning(failed, code=error.code)
        except AWAY as error:
            log.warning(failed, error=type(error).__name__)
