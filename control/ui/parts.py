"""The pages put together from the settings: what `api.app` needs to offer them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import asyncpg

from api.ui.app import Ui
from api.ui.changes import Changes
from api.ui.links import Links
from control.ui.sessions import StoredSessions
from control.ui.settings import UiSettings
from control.ui.signing import VaultSigningKeys
from control.vault import Vault


def ui(
    settings: UiSettings, pool: asyncpg.Pool[Any], vault: Vault, changes: Changes, now: Callable[[], datetime]
) -> Ui | None:
    """`pool`: as the workers' role. None: they are not offered. Raises ValueError for a logo that is none."""
    if settings.ui_url is None:
        return None
    links = Links(VaultSigningKeys(vault), settings.ui_url, now)
    return Ui(settings.ui_url, settings.brand(), StoredSessions(pool, now), links, changes)
