"""Control as a process: its parts put together, started in order, and ended in order.

start   no core dumps · settings · pools that connect when first used · API and workers
serve   a part that fails takes the process down with exit code 1: whoever supervises it starts it anew
drain   SIGTERM or SIGINT: requests under way end, jobs are given back for another replica · exit 0; a thread that
        still waits for a silent CA or Vault is left behind, as its job is another replica's now
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import structlog
import uvicorn
from prometheus_client import CollectorRegistry
from pydantic import ValidationError
from starlette.types import ASGIApp

from api.app import create_app
from api.auth import Authenticator
from api.instructions import Target
from api.jwks import KeyFile, KeyUrl
from control.acme.account import Account
from control.certificates.ledger import Ledger
from control.certificates.obtain import Limits, Obtainer
from control.certificates.propagation import Propagation
from control.certificates.revoke import Revoker
from control.dns.ownership import Ownership
from control.dns.resolver import resolvers
from control.domains.tenants import TenantDomains
from control.domains.verify import Verifier
from control.housekeeping import keep_tidy
from control.jobs import Jobs, Kind, new_replica_name
from control.listener import Listener
from control.settings import ControlSettings
from control.vault import Vault
from control.worker import Handler, JobMetrics, Worker
from core import log as logs
from core.errors import NameplateError
from core.feed import JOBS_CHANNEL, SIDECARS_CHANNEL
from core.hardening import harden
from core.hostname import HostnameRules, registered_domain
from core.loop import runner
from core.settings import complaints

# Jobs at once. A look at the DNS mostly waits; an issuance holds a thread while the CA or Vault answers.
CONCURRENCY: dict[Kind, int] = {"verify": 100, "obtain": 16, "revoke": 4}
THREADS = 32
POOL = 20  # connections at most, for the workers and for the API each
DRAIN = 8.0  # seconds for requests under way, which end by themselves within six
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
        pool = await stack.enter_async_context(pool_of(settings.control_database_url.get_secret_value()))
        api_pool = await stack.enter_async_context(pool_of(settings.api_database_url.get_secret_value()))
        vault = Vault(
            settings.vault_addr,
            settings.vault_mount,
            settings.vault_role_id,
            settings.secret_id,
            str(settings.vault_ca_file) if settings.vault_ca_file else None,
        )
        stack.callback(vault.close)
        account = Account(
            vault,
            pool,
            settings.acme_directory_url,
            settings.acme_contact or "",
            str(settings.acme_ca_file) if settings.acme_ca_file else None,
        )
        stack.callback(account.close)
        rules = HostnameRules(settings.platform_domain, settings.blocked_suffixes)
        propagation = Propagation()
        ledger = Ledger(pool, actor, settings.acme_directory_url, functools.partial(registered_domain, rules=rules))
        limits = Limits(failures=settings.max_ssl_retries)
        handlers: dict[Kind, Handler] = {
            "verify": Verifier(
                pool,
                Ownership(resolvers(settings.dns_resolvers), settings.target, now),
                actor,
                settings.dns_check_interval,
                now,
            ).verify,
            "obtain": Obtainer(account, vault, ledger, propagation, limits).obtain,
            "revoke": Revoker(account, vault, pool, actor).revoke,
        }
        jobs, metrics = Jobs(pool, replica), JobMetrics(registry)
        workers = {kind: Worker(jobs, kind, handler, CONCURRENCY[kind], metrics) for kind, handler in handlers.items()}

        def wake(kind: str) -> None:
            for name, worker in workers.items():
                if kind in ("", name):
                    worker.wake()

        listener = Listener(
            settings.control_database_url.get_secret_value(),
            {JOBS_CHANNEL: wake, SIDECARS_CHANNEL: propagation.heard},
            on_connect=lambda: wake(""),
        )
        keys = KeyUrl(settings.jwt_jwks_url) if settings.jwt_jwks_url else KeyFile(jwks_file(settings))
        if isinstance(keys, KeyUrl):
            stack.push_async_callback(keys.close)
        authenticator = Authenticator(
            keys,
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
            tenant_claim=settings.jwt_tenant_claim,
        )
        target = Target(settings.target, [str(ip) for ip in settings.apex_ipv4], [str(ip) for ip in settings.apex_ipv6])
        domains = TenantDomains(api_pool, settings.verify_ttl, settings.max_per_tenant)
        server = http_server(create_app(domains, authenticator, rules, target, registry))
        log.info("control_starting", replica=replica, api=settings.api_listen)
        return await supervise(
            server,
            bound,
            [("listener", listener.run()), ("housekeeping", keep_tidy(pool))]
            + [(f"{kind} worker", worker.run()) for kind, worker in workers.items()],
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
async def pool_of(dsn: str) -> AsyncIterator[asyncpg.Pool[Any]]:
    """Connects when first used, so that control starts, and says 503, while PostgreSQL is away."""
    pool = await asyncpg.create_pool(
        dsn, min_size=0, max_size=POOL, timeout=5, command_timeout=30, max_inactive_connection_lifetime=60
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
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def jwks_file(settings: ControlSettings) -> Path:
    assert settings.jwt_jwks_file is not None  # noqa: S101 -- one of the two is set
    return settings.jwt_jwks_file


def now() -> datetime:
    return datetime.now(UTC)


def main() -> int:
    """The process. Exit codes: 0 after SIGTERM or SIGINT, 1 when a part ended, 2 when it could not start."""
    harden()
    try:
        settings = ControlSettings()  # type: ignore[call-arg]  # from the environment
    except ValidationError as error:
        for line in complaints(error):
            print(f"nameplate: {line}", file=sys.stderr)  # noqa: T201
        return 2
    logs.configure("control", settings.log_level)
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
