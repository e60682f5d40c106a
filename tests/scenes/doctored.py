"""The doctor's checks, run here rather than as a command: which, on what environment, and what they found."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import pytest

from cli.doctor import run
from cli.doctor.control import checks as of_control
from cli.doctor.finding import Finding
from cli.doctor.sidecar import checks as of_sidecar
from control.settings import ControlSettings
from sidecar.settings import read_settings

Now = Callable[[], float]


async def control(environment: Mapping[str, str], *names: str, now: Now = time.time) -> Sequence[Finding]:
    """`names`: of the checks; none: all."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        checks = of_control(ControlSettings(), now)
    return await run.examine([check for check in checks if not names or check.name in names])


async def sidecar(
    environment: Mapping[str, str],
    *names: str,
    envoy: str | None = None,
    admin: str = "127.0.0.1:1",
    now: Now = time.time,
) -> Sequence[Finding]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        checks = of_sidecar(read_settings(), now, envoy, admin)
    return await run.examine([check for check in checks if not names or check.name in names])


def codes(findings: Sequence[Finding]) -> set[str]:
    return {finding.code for finding in findings} - {""}


def one(findings: Sequence[Finding], code: str) -> Finding:
    """The only one of this code."""
    (found,) = [finding for finding in findings if finding.code == code]
    assert found.mend
    return found


async def command(environment: Mapping[str, str], *arguments: str) -> tuple[int | None, str]:
    """Exit code, and all that was written."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "doctor", *arguments),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode()
    return process.returncode, output
