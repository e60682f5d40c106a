"""What a process that holds private keys does to itself at start: no core dumps, files for its own user only."""

from __future__ import annotations

import os
import resource


def harden() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)
    # One file descriptor a connection: the soft limit of 1,024 is for programs that use select().
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
