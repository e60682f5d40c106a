"""The platform's own endpoints: where its admin is told what somebody of the platform must act on.

They come from the settings and stand in the table of endpoints like any tenant's, without a tenant. Their ids never
change, so the webhook's signing secret is at a known path in Vault (`nameplate/notifications/<ADMIN_WEBHOOK>`): the
operator puts it there as {"secret": "whsec_…"}, or reads the one that control makes when there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import asyncpg

from api.endpoints import EndpointKind
from control.outbox.signing import Secrets, new_secret

ADMIN_WEBHOOK = UUID("7a5b8f0e-5d0e-4c55-9d3c-0f6e616d6501")
ADMIN_MAILBOX = UUID("7a5b8f0e-5d0e-4c55-9d3c-0f6e616d6502")
IDS: Mapping[EndpointKind, UUID] = {"webhook": ADMIN_WEBHOOK, "email": ADMIN_MAILBOX}

REGISTER = """INSERT INTO notification_endpoints (id, kind, address, secret_version) VALUES ($1, $2, $3, $4)
    ON CONFLICT (id) DO UPDATE SET address = excluded.address, secret_version = excluded.secret_version,
        disabled_at = NULL, disabled_code = NULL"""
UNSET = """UPDATE notification_endpoints SET disabled_at = now(), disabled_code = 'unset'
    WHERE id = $1 AND disabled_at IS NULL"""


class AdminEndpoints:
    """`webhook`, `mailbox`: None where the admin wants none."""

    def __init__(self, pool: asyncpg.Pool[Any], secrets: Secrets, webhook: str | None, mailbox: str | None) -> None:
        self._pool = pool
        self._secrets = secrets
        self._wanted: Mapping[EndpointKind, str | None] = {"webhook": webhook, "email": mailbox}

    async def register(self) -> None:
        """Make the table say what the settings say. Raises VaultError, and what asyncpg raises."""
        for kind, address in self._wanted.items():
            if address is None:
                await self._pool.execute(UNSET, IDS[kind])
                continue
            version = await self._secrets.latest(IDS[kind], new_secret()) if kind == "webhook" else None
            await self._pool.execute(REGISTER, IDS[kind], kind, address, version)
