"""LISTEN on a connection of its own, for as long as the process lives.

A notification is a hint: whoever needs certainty reads the tables on a timer too. The connection is probed, because a
peer that vanished without a word would otherwise look like silence, and so would a pooler that lets nothing through:
then the timers do the work, and the log says what would mend it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import asyncpg
import structlog

from control.db.away import AWAY
from core.database import Access, trouble
from core.hearing import Deaf, check_hearing

PROBE_INTERVAL = 5.0  # seconds between two questions to a silent server
PROBE_DEADLINE = 3.0
RECONNECT_FIRST, RECONNECT_LAST = 0.1, 5.0
DEAF_INTERVAL = 60.0  # seconds until it is asked again whether the pooler has gone
SETTING = "NAMEPLATE_CONTROL_LISTEN_DATABASE_URL"

Heard = Callable[[str], None]  # the payload; synchronous, quick

log = structlog.get_logger(__name__)


class Listener:
    """`channels`: what to call for each payload. `on_connect`: called after each connect, for what may be missed."""

    def __init__(self, address: Access | str, channels: Mapping[str, Heard], on_connect: Callable[[], None]) -> None:
        self._access = Access.of(address)
        self._channels = channels
        self._on_connect = on_connect
        self.connected = False  # now

    async def run(self) -> None:
        delay = RECONNECT_FIRST
        while True:
            try:
                connection = await self._access.connect(PROBE_DEADLINE, command_timeout=PROBE_DEADLINE)
            except (*AWAY, ValueError) as error:
                log.warning("listener_cannot_connect", error=type(error).__name__, reason=trouble(error))
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 -- jitter
                delay = min(delay * 2, RECONNECT_LAST)
                continue
            delay = RECONNECT_FIRST
            try:
                await self._listen(connection)
            except Deaf as error:
                log.error("listener_hears_nothing", reason=str(error))
                await asyncio.sleep(DEAF_INTERVAL)
            except AWAY as error:
                log.warning("listener_lost", error=type(error).__name__)
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 -- jitter
            finally:
                self.connected = False
                connection.terminate()

    async def _listen(self, connection: asyncpg.Connection[Any]) -> None:
        for channel, heard in self._channels.items():
            await connection.add_listener(channel, _callback(heard))
        await check_hearing(connection, self._access, SETTING, PROBE_DEADLINE)
        self.connected = True
        self._on_connect()
        closed = asyncio.Event()
        connection.add_termination_listener(lambda _connection: closed.set())
        while not closed.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(PROBE_INTERVAL):
                    await closed.wait()
            if not closed.is_set():
                await connection.execute("SELECT", timeout=PROBE_DEADLINE)
        log.warning("listener_lost", error="closed by the server")


def _callback(heard: Heard) -> Callable[..., None]:
    def call(_connection: object, _pid: int, _channel: str, payload: object) -> None:
        heard(str(payload))

    return call
