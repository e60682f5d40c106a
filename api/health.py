"""What an operator's machinery asks: is the process alive, can it work, what are its figures. Without a token."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.service import Domains


class Health:
    def __init__(self, domains: Domains, registry: CollectorRegistry) -> None:
        self._domains = domains
        self._registry = registry

    async def livez(self, _request: Request) -> Response:
        """200 as long as the event loop turns."""
        return JSONResponse({"status": "ok"})

    async def readyz(self, _request: Request) -> Response:
        """200 when the database answers, else 503 database_unavailable."""
        await self._domains.ping()
        return JSONResponse({"status": "ok"})

    async def metrics(self, _request: Request) -> Response:
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)
