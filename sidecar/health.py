"""`grpc.health.v1.Health` on grpcfast: https://github.com/grpc/grpc/blob/master/doc/health-checking.md

The service "" stands for the server as a whole. All services serve together, or none does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from google.protobuf.message import DecodeError

from sidecar.grpcfast import Call, Method, Reply, RpcError, Status, Streaming, Unary, error, reply
from sidecar.wire.health_pb2 import HealthCheckRequest, HealthCheckResponse, HealthListResponse

SERVICE = "grpc.health.v1.Health"

ServingStatus = HealthCheckResponse.ServingStatus
SERVING = HealthCheckResponse.SERVING
NOT_SERVING = HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = HealthCheckResponse.SERVICE_UNKNOWN


class Health:
    """`services`: full names, without "". Not serving until `serve` is called, nor again after `shut_down`."""

    def __init__(self, *services: str) -> None:
        self._services = frozenset({"", *services})
        self._status = NOT_SERVING
        self._over = False
        self._changed = asyncio.Event()

    def methods(self) -> Mapping[str, Method]:
        """By path."""
        return {
            f"/{SERVICE}/Check": Unary(self.check),
            f"/{SERVICE}/List": Unary(self.list),
            f"/{SERVICE}/Watch": Streaming(self.watch),
        }

    def serve(self) -> None:
        if not self._over:
            self._set(SERVING)

    def shut_down(self) -> None:
        """For good. Whoever watches is told, and the watch ends."""
        self._over = True
        self._set(NOT_SERVING)

    def check(self, request: bytes) -> Reply:
        """Unary. NOT_FOUND for a service that is not here."""
        if _service(request) not in self._services:
            return error(Status.NOT_FOUND, "There is no such service here.")
        return reply(_encode(self._status))

    async def watch(self, call: Call) -> None:
        """Streaming: the status now and at each change. A service that is not here stays SERVICE_UNKNOWN."""
        async for request in call:
            here = _service(request) in self._services
            told = None
            while True:
                changed, status = self._changed, self._status if here else SERVICE_UNKNOWN
                if status != told:
                    told = status
                    await call.send(_encode(status))
                elif self._over:
                    return
                else:
                    await changed.wait()

    def list(self, _request: bytes) -> Reply:
        """Unary. The status of every service."""
        response = HealthListResponse()
        for service in sorted(self._services):
            response.statuses[service].status = self._status
        return reply(response.SerializeToString(deterministic=True))

    def _set(self, status: ServingStatus) -> None:
        self._status = status
        self._changed.set()
        self._changed = asyncio.Event()


def _encode(status: ServingStatus) -> bytes:
    return HealthCheckResponse(status=status).SerializeToString()


def _service(request: bytes) -> str:
    """Raises RpcError when it is no HealthCheckRequest."""
    try:
        return HealthCheckRequest.FromString(request).service
    except DecodeError:
        raise RpcError(Status.INVALID_ARGUMENT, "The message is no HealthCheckRequest.") from None
