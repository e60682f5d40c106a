"""A diagnosis as the tenants' API asks for it: `api.service.Diagnostician`, which knows no PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import asyncpg

from api.service import Unavailable
from control.domains.tenancy import OUTAGES
from core.domain import Domain


class Diagnosis(Protocol):
    """`control.preflight.diagnosis.Diagnosis`."""

    async def diagnose(self, domain: Domain) -> Mapping[str, Any]:
        """Raises what PostgreSQL raises."""
        ...


class Diagnoses:
    def __init__(self, diagnosis: Diagnosis) -> None:
        self._diagnosis = diagnosis

    async def diagnose(self, domain: Domain) -> Mapping[str, Any]:
        """Raises Unavailable."""
        try:
            return await self._diagnosis.diagnose(domain)
        except (*OUTAGES, asyncpg.TransactionRollbackError) as error:
            raise Unavailable from error
