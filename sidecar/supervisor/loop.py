"""The supervisor as a process: signals, children and the time, each handed to the plan.

    SIGTERM, SIGINT   every worker drains; the exit code is that of a worker that was told to end, 0
    SIGHUP            a fresh worker, with the same environment and the files as they are now, takes over
    SIGCHLD           a crash is made good at once, and then ever more slowly

It holds no secret of its own, opens no socket, and loads nothing beyond the standard library: about 12 MB, 5 of them
its own. Every child is reaped, also those that are not ours, as it may be a container's process 1.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any

from core.hardening import harden
from sidecar.supervisor.contract import LOST, READY, REPLACED
from sidecar.supervisor.plan import Plan
from sidecar.supervisor.systemd import Systemd

HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class Workers:
    """Child processes, and the supervisor's ends of their socket pairs. Each has a process group of its own, so that
    Ctrl-C in a terminal comes to the supervisor alone."""

    def __init__(self, command: list[str], poll: select.poll) -> None:
        self._command = command
        self._poll = poll
        self._links: dict[int, socket.socket] = {}

    def start(self, *, replace: bool) -> int:
        ours, theirs = socket.socketpair()
        command = [*self._command, f"--supervisor={theirs.fileno()}"]
        if replace:
            command.append("--replace")
        with theirs:
            try:
                pid = _fork_and_exec(command, theirs)
            except OSError:
                ours.close()
                raise
        ours.setblocking(False)
        self._links[pid] = ours
        self._poll.register(ours, select.POLLIN)
        return pid

    def terminate(self, pid: int) -> None:
        _signal(pid, signal.SIGTERM)

    def kill(self, pid: int) -> None:
        _signal(pid, signal.SIGKILL)

    def tell_replaced(self, pid: int) -> None:
        with contextlib.suppress(OSError):  # it ends already
            self._links[pid].send(REPLACED)

    def heard(self, descriptor: int) -> tuple[int, bytes]:
        """A worker, and what it says; nothing when it ends."""
        pid, link = next((pid, link) for pid, link in self._links.items() if link.fileno() == descriptor)
        said = b""
        with contextlib.suppress(OSError):
            said = link.recv(64)
        if not said:
            self._poll.unregister(link)
        return pid, said

    def reap(self) -> list[tuple[int, int]]:
        """Workers that have ended, with their exit codes."""
        ended = []
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                link = self._links.pop(pid, None)
                if link is not None:
                    with contextlib.suppress(KeyError):
                        self._poll.unregister(link)
                    link.close()
                    ended.append((pid, os.waitstatus_to_exitcode(status)))
        return ended


def run(command: list[str], *, replace: bool, notify: str | None) -> int:
    """Returns the exit code. `command` starts a worker; `replace`: the first one takes over from another sidecar.

    `notify`: $NOTIFY_SOCKET.
    """
    harden()
    poll = select.poll()
    signals, wakeup = os.pipe()
    for descriptor in (signals, wakeup):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(wakeup)
    for number in HANDLED:
        signal.signal(number, _wake)
    poll.register(signals, select.POLLIN)

    workers = Workers(command, poll)
    systemd = Systemd(notify)
    plan = Plan(workers, Reporter(systemd))
    plan.begin(time.monotonic(), replace=replace)
    while plan.code is None:
        wait = None if plan.wake_at is None else max(0.0, plan.wake_at - time.monotonic()) * 1000 + 1
        happened = [descriptor for descriptor, _ in poll.poll(wait)]
        now = time.monotonic()
        for descriptor in happened:
            if descriptor == signals:
                continue
            pid, said = workers.heard(descriptor)
            if READY in said:
                plan.ready(pid, now)
            if LOST in said:
                plan.replace(now)
        numbers = os.read(signals, 4096) if signals in happened else b""
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            systemd.stopping()
            plan.terminate(now)
        if signal.SIGHUP in numbers:
            systemd.reloading()
            plan.replace(now)
        for pid, code in workers.reap():
            plan.exited(pid, code, now)
        plan.passed(now)
    return plan.code


class Reporter:
    """Logs as the worker's are: JSON on standard error, or text on a terminal. And systemd's idea of the unit."""

    def __init__(self, systemd: Systemd) -> None:
        self._systemd = systemd
        self._terminal = sys.stderr.isatty()

    def __call__(self, event: str, level: str = "info", **facts: Any) -> None:
        match event:
            case "worker_ready" | "worker_replaced":
                self._systemd.ready(facts["worker"])
            case "replacement_failed" if facts["serving"] is not None:
                self._systemd.failed_to_reload(facts["serving"])
        now = time.time()
        at = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1e6):06}Z"
        if self._terminal:
            line = " ".join([at, level, event, *(f"{name}={fact}" for name, fact in facts.items())])
        else:
            line = json.dumps({**facts, "process": "supervisor", "event": event, "level": level, "timestamp": at})
        with contextlib.suppress(OSError):
            os.write(sys.stderr.fileno(), f"{line}\n".encode())


def _wake(_number: int, _frame: object) -> None:
    """The number has been written to the wakeup descriptor."""


def _signal(pid: int, number: signal.Signals) -> None:
    """A worker that has ended keeps its id until `reap`."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _fork_and_exec(command: list[str], inherited: socket.socket) -> int:
    """One thread, so nothing is held by another one at the fork. Signals wait until the child is its own program."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        pid = os.fork()
        if pid == 0:
            try:
                signal.set_wakeup_fd(-1)
                for number in HANDLED:
                    signal.signal(number, signal.SIG_DFL)
                os.setpgid(0, 0)
                inherited.set_inheritable(True)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
                os.execv(command[0], command)  # noqa: S606 -- our own interpreter
            finally:
                os._exit(127)
        return pid
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
