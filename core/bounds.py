"""The numbers of an upstream service: what each is when it is left out, and between what it lies. Only data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of a number: what it is when it is left out, and between what it lies, both included."""

    default: int
    least: int
    most: int


HOUR = 3_600_000  # milliseconds
PORT = Bounds(0, 1, 65_535)
# Members of the document by the attributes that they become.
TIMES: Mapping[str, tuple[str, Bounds]] = {
    "connect_timeout_ms": ("connectTimeoutMs", Bounds(2_000, 10, 60_000)),
    "request_timeout_ms": ("requestTimeoutMs", Bounds(0, 0, HOUR)),
    "idle_timeout_ms": ("idleTimeoutMs", Bounds(60_000, 100, HOUR)),
    # A pooled connection keeps the certificates that it was made with.
    "max_connection_duration_ms": ("maxConnectionDurationMs", Bounds(HOUR, 1_000, 24 * HOUR)),
}
HEALTH: Mapping[str, tuple[str, Bounds]] = {
    "interval_ms": ("intervalMs", Bounds(5_000, 100, 300_000)),
    "timeout_ms": ("timeoutMs", Bounds(1_000, 10, 60_000)),
    "unhealthy": ("unhealthy", Bounds(3, 1, 20)),
    "healthy": ("healthy", Bounds(2, 1, 20)),
}
BREAKER: Mapping[str, tuple[str, Bounds]] = {
    "max_connections": ("maxConnections", Bounds(1_024, 1, 1_000_000)),
    "max_pending": ("maxPending", Bounds(1_024, 1, 1_000_000)),
    "max_requests": ("maxRequests", Bounds(1_024, 1, 1_000_000)),
    "max_retries": ("maxRetries", Bounds(3, 0, 1_000_000)),
}
