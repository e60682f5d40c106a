"""Control as a process: its parts put together, started in order, and ended in order.

start   no core dumps · settings · pools that connect when first used · no older schema · API and workers
serve   a part that fails takes the process down with exit code 1: whoever supervises it starts it anew
drain   SIGTERM or SIGINT: requests under way end, jobs are given back for another replica · exit 0; a thread that
        still waits for a silent CA or Vault is left behind, as its job is another replica's now
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import asyncpg
import structlog
import uvicorn
from prometheus_client import CollectorRegistry, disable_created_metrics
from pydantic import ValidationError
from starlette.types import ASGIApp

from control.db.schema import is_outdated
from control.jobs import Jobs, Kind, new_replica_name
from control.listener import Listener
from control.metrics import process
from control.parts import Ground, assemble
from control.settings import ControlSettings
from control.worker import JobMetrics, Worker
from core import log as logs
from core.database import Access
from core.errors import NameplateError
from core.feed import CHANGES_CHANNEL, JOBS_CHANNEL, OUTBOX_CHANNEL, SIDECARS_CHANNEL
from core.hardening import harden
from core.loop import runner
from core.question import ANSWERS_CHANNEL
from core.settings import complaints
from core.trace import NOTHING

# Jobs at once. A look at the DNS mostly waits; an issuance holds a thread while the CA or Vault answers.
CONCURRENCY: dict[Kind, int] = {"verify": 100, "obtain": 16, "revoke": 4}
THREADS = 32
POOL = 20  # connections at most, for the workers and for the API each
STALLED = 60.0  # seconds in which a client takes nothing of what it asked for
DRAIN = 8.0  # seconds for requests under way, which end by themselves within six
TRACES_DRAIN = 2.0  # seconds for the last spans
THREADS_DRAIN = 3.0  # seconds for what threads ask of the CA and Vault

log = structlog.stdlib.get_logger(__name__)


class Server(uvicorn.Server):
    """uvicorn without its own signal handlers: this process drains more than HTTP."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def run(settings: ControlSettings, stop: asyncio.Event) -> int:
    """Serve until `stop` is set. Returns the exit code. Raises ValueError and NameplateError for unusable settings."""
    registry = CollectorRegistry()
    replica = new_replica_name(socket.gethostname())
    actor = f"control:{replica}"
    bound = bind(settings.api_listen)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(bound.close)
        tracer = await asyncio.to_thread(settings.tracer, "nameplate-control", replica)
        if tracer is not NOTHING:  # a thread may have to be waited for
            stack.push_async_callback(asyncio.to_thread, tracer.close, TRACES_DRAIN)
        pool = await stack.enter_async_context(pool_of(settings.control_access()))
        if await is_outdated(pool):
            return 1
        api_pool = await stack.enter_async_context(pool_of(settings.api_access()))
        parts = assemble(Ground(settings, pool, api_pool, registry, actor, now, tracer, stack))
        jobs, metrics = Jobs(pool, replica), JobMetrics(registry)
        workers = {
            kind: Worker(
                jobs, kind, handler, CONCURRENCY[kind], metrics, parts.room if kind == "obtain" else None, tracer
            )
            for kind, handler in parts.handlers.items()
        }

        def work(kind: str) -> None:
            wake(kind)
            parts.changed()

        def news(_payload: str) -> None:
            parts.tell()
            parts.changed()

        def wake(kind: str) -> None:
            for name, worker in workers.items():
                if kind in ("", name):
                    worker.wake()

        def connected() -> None:
            wake("")
            parts.tell()
            parts.propagation.listening()

        listener = Listener(
            settings.control_listen_access(),
            {
                JOBS_CHANNEL: work,
                OUTBOX_CHANNEL: news,
                CHANGES_CHANNEL: lambda _: parts.changed(),
                SIDECARS_CHANNEL: parts.propagation.heard,
                ANSWERS_CHANNEL: parts.answered,
            },
            on_connect=connected,
        )
        parts.propagation.is_listening = lambda: listener.connected
        process.register(registry, {"workers": pool, "api": api_pool}, lambda: listener.connected)
        server = http_server(parts.app)
        log.info("control_starting", replica=replica, api=settings.api_listen)
        return await supervise(
            server,
            bound,
            [
                ("listener", listener.run()),
                *((f"{kind} worker", worker.run()) for kind, worker in workers.items()),
                *((name, run()) for name, run in parts.loops.items()),
            ],
            stop,
        )


async def supervise(
    server: Server, bound: socket.socket, parts: list[tuple[str, Coroutine[Any, Any, None]]], stop: asyncio.Event
) -> int:
    """Run the server and the parts until `stop`, or until one of them ends, which none should."""
    serving = asyncio.create_task(server.serve(sockets=[bound]), name="api")
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(part, name=name) for name, part in parts]
    stopping = asyncio.create_task(stop.wait(), name="stop")
    await asyncio.wait({stopping, serving, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    for task in [serving, *tasks]:
        if task.done() and not stop.is_set():
            log.critical("part_ended", part=task.get_name(), exc_info=task.exception())
    server.should_exit = True
    for task in [stopping, *tasks]:
        task.cancel()
    ending = asyncio.gather(serving, stopping, *tasks, return_exceptions=True)
    # A PostgreSQL that is silent never consents to the end of a query; its connections are cut after this.
    if not (await asyncio.wait([ending], timeout=DRAIN + 1))[0]:
        log.warning("drain_cut_short")
    log.info("control_ended")
    return 0 if stop.is_set() else 1


@contextlib.asynccontextmanager
async def pool_of(access: Access) -> AsyncIterator[asyncpg.Pool[Any]]:
    """Connects when first used, so that control starts, and says 503, while PostgreSQL is away."""
    pool = await asyncpg.create_pool(
        **access.options(),
        min_size=0,
        max_size=POOL,
        timeout=5,
        command_timeout=30,
        max_inactive_connection_lifetime=60,
    )
    try:
        yield pool
    finally:
        pool.terminate()


def http_server(app: ASGIApp) -> Server:
    return Server(
        uvicorn.Config(
            app,
            http="h11",  # bounds the head and the trailers of a request; httptools keeps them however long they grow
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=int(DRAIN),
        )
    )


def bind(listen: str) -> socket.socket:
    """Raises OSError."""
    host, _, port = listen.rpartition(":")
    family, _, _, _, address = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
    # asyncio sets TCP_NODELAY only where the protocol is named: without it a client that keeps its connection waits for
    # 40 ms (Nagle, and its own delayed acknowledgement) between the head of an answer and its body.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Of a client that takes nothing for so long the kernel closes the connection, answer and all (tcp(7)).
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(STALLED * 1000))
    try:
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def now() -> datetime:
    return datetime.now(UTC)


def main() -> int:
    """The process. Exit codes: 0 after SIGTERM or SIGINT, 2 when it could not start, 1 when it is worth another start:
    a part ended, or the schema is not migrated yet."""
    harden()
    try:
        settings = ControlSettings()  # type: ignore[call-arg]  # from the environment
    except ValidationError as error:
        for line in complaints(error):
            print(f"nameplate: {line}", file=sys.stderr)  # noqa: T201
        return 2
    logs.configure("control", settings.log_level)
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, that nobody reads
    threads = ThreadPoolExecutor(THREADS, "control")
    with runner() as loop:
        code = loop.run(_until_signal(settings, threads))
        if not ended(threads, THREADS_DRAIN):
            log.warning("threads_left_behind")
            logging.shutdown()
            os._exit(code)  # Python itself would wait for them, and a request to a silent CA takes 20 seconds
        return code


def ended(threads: ThreadPoolExecutor, seconds: float) -> bool:
    """Take no more work, and say whether all that was taken came to its end within the seconds."""
    waiting = threading.Thread(target=threads.shutdown, kwargs={"cancel_futures": True}, daemon=True)
    waiting.start()
    waiting.join(seconds)
    return not waiting.is_alive()


async def _until_signal(settings: ControlSettings, threads: ThreadPoolExecutor) -> int:
    asyncio.get_running_loop().set_default_executor(threads)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        return await run(settings, stop)
    except (OSError, ValueError, NameplateError) as error:
        log.critical("control_cannot_start", error=str(error))
        return 2
