"""Why a sidecar ends, and the exit code that says so to who started it."""

from __future__ import annotations

from enum import Enum, auto

from sidecar.supervisor.contract import ENDED, FAILED, NOT_READY, TAKEN


class Stop(Enum):
    TOLD = auto()
    REPLACED = auto()
    SOCKET_LOST = auto()
    NOT_READY = auto()
    ADMIN_ENDED = auto()


EXIT_CODES = {
    Stop.TOLD: ENDED,
    Stop.REPLACED: TAKEN,
    Stop.SOCKET_LOST: FAILED,
    Stop.ADMIN_ENDED: FAILED,
    Stop.NOT_READY: NOT_READY,
}
