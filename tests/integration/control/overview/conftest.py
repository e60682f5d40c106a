from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from scenes import overview as scene


@pytest.fixture
def watched(pool: asyncpg.Pool[Any]) -> scene.Watched:
    return scene.watched(pool)
