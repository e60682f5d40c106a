from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import uvloop
from conformance.peer import Peer
from conformance.subject import Subject

Connect = Callable[[], Awaitable[Peer]]


@pytest.fixture
async def subject(state_dir: Path) -> AsyncIterator[Subject]:
    """A server on the test's own loop, fresh."""
    async with Subject(state_dir / "s").run() as subject:
        yield subject


@pytest.fixture
async def connect(subject: Subject) -> AsyncIterator[Connect]:
    """`await connect()`: another peer of `subject`, its handshake done."""
    peers: list[Peer] = []

    async def another() -> Peer:
        peer = await Peer.connect(subject.path)
        peers.append(peer)
        await peer.handshake()
        return peer

    yield another
    for peer in peers:
        peer.close()


@pytest.fixture
async def peer(connect: Connect) -> Peer:
    return await connect()


@pytest.fixture(scope="module")
def standing(session_dir: Path) -> Iterator[Path]:
    """The socket of a server on uvloop, as the product runs it, shared by the tests of a module."""
    path = session_dir / "conformance"
    loop = uvloop.new_event_loop()
    ready = threading.Event()
    done = asyncio.Event()

    async def serve() -> None:
        async with Subject(path).run():
            ready.set()
            await done.wait()

    thread = threading.Thread(target=loop.run_forever, name="server on trial")
    thread.start()
    serving = asyncio.run_coroutine_threadsafe(serve(), loop)
    ready.wait(5)
    yield path
    loop.call_soon_threadsafe(done.set)
    serving.result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
