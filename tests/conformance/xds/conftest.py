from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from scenes import xds
from scenes.xds import Client, DeltaClient, Room, WorldClient


@pytest.fixture
async def room(state_dir: Path) -> AsyncIterator[Room]:
    async with xds.room(state_dir) as made:
        yield made


Connect = Callable[..., Client]


@pytest.fixture
async def connect(room: Room) -> AsyncIterator[Connect]:
    """`connect(delta=…, only=…)`: a client on a connection of its own."""
    opened: list[tuple[Client, object]] = []

    def another(*, delta: bool = True, only: str | None = None) -> Client:
        channel = room.channel()
        client = xds.client(channel, delta=delta, only=only)
        opened.append((client, channel))
        return client

    yield another
    for client, channel in opened:
        client.close()
        await channel.close()  # type: ignore[attr-defined]


@pytest.fixture
def delta(connect: Connect) -> DeltaClient:
    """On the aggregated stream."""
    client = connect(delta=True)
    assert isinstance(client, DeltaClient)
    return client


@pytest.fixture
def world(connect: Connect) -> WorldClient:
    """On the aggregated stream."""
    client = connect(delta=False)
    assert isinstance(client, WorldClient)
    return client
