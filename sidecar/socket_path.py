"""A Unix socket's name, which goes from one process to the next: bound beside it, then renamed over it.

A name always leads to a socket that somebody listens on, or to none: who connects while it changes hands reaches the
one or the other. A process tells by the inode that it has lost its name (the number stays taken while it listens).
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from enum import Enum, auto
from pathlib import Path

# sockaddr_un.sun_path holds 108 bytes with the final NUL (unix(7)).
MAX_PATH_BYTES = 107
SOCKET_MODE = 0o600


class Holder(Enum):
    """Who answers under the name."""

    US = auto()
    ANOTHER = auto()
    NOBODY = auto()


class SocketPath:
    """`beside`, where the socket is bound and listens; `publish`; then `holder`, and in the end `remove`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.beside = path.with_name(f".{path.name}.{os.getpid()}")
        self._inode: int | None = None

    @property
    def fits(self) -> bool:
        return len(os.fsencode(self.beside)) <= MAX_PATH_BYTES

    def foreign(self) -> bool:
        """Whether the name is taken by what is no socket. Raises OSError when it cannot be looked at."""
        try:
            return not stat.S_ISSOCK(self.path.lstat().st_mode)
        except FileNotFoundError:
            return False

    def holder(self) -> Holder:
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            return Holder.NOBODY
        if found.st_ino == self._inode:
            return Holder.US
        return Holder.ANOTHER if answers(self.path) else Holder.NOBODY

    def clear(self) -> None:
        """What a killed process left beside the name: in a container the next one has the same process id."""
        with contextlib.suppress(FileNotFoundError):
            self.beside.unlink()

    def publish(self) -> None:
        """Raises OSError."""
        self.beside.chmod(SOCKET_MODE)
        self._inode = self.beside.stat().st_ino
        self.beside.rename(self.path)

    def remove(self) -> None:
        """Unless another process has it."""
        with contextlib.suppress(OSError):
            self.beside.unlink()
        if self._inode is None or self.holder() is not Holder.US:
            return
        with contextlib.suppress(OSError):
            self.path.unlink()


def answers(path: Path) -> bool:
    """Whether somebody listens on the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            pass  # its queue is full (EAGAIN), or it is another user's: somebody has it
    return True
