"""A zone on Knot that takes updates."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from embedded.knot import KnotZone

ZONE = "acme.platform.test"


@pytest.fixture
async def knot(state_dir: Path, dns_packages: None) -> AsyncIterator[KnotZone]:
    """A primary alone."""
    async with KnotZone.start(state_dir, ZONE) as zone:
        yield zone
