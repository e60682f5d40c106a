"""The checks run at once, each with its limit, and said: a line a finding for a person, JSON for a program."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import asdict

import typer
from rich.console import Console
from rich.markup import escape

from cli.complaint import explain_settings, unusable
from cli.doctor.finding import Check, Finding, found
from cli.doctor.findings import Level

MARKS = {Level.WELL: "[green]✓[/]", Level.WARNING: "[yellow]![/]", Level.PROBLEM: "[bold red]✗[/]"}


def of_control() -> Sequence[Check]:
    from cli.doctor.control import checks
    from control.settings import ControlSettings

    with explain_settings():
        settings = ControlSettings()  # type: ignore[call-arg]  # from the environment
    return checks(settings, time.time)


def of_sidecar(envoy: str | None, admin: str) -> Sequence[Check]:
    from cli.doctor.sidecar import checks
    from sidecar.settings import SettingsError, read_settings

    try:
        settings = read_settings()
    except SettingsError as error:
        raise unusable(error.message.splitlines()) from None
    return checks(settings, time.time, envoy, admin)


async def examine(checks: Sequence[Check]) -> Sequence[Finding]:
    """In the order of the checks."""
    return [finding for findings in await asyncio.gather(*map(_looked, checks)) for finding in findings]


async def _looked(check: Check) -> Sequence[Finding]:
    try:
        async with asyncio.timeout(check.seconds):
            return await check.look()
    except TimeoutError:
        return [found("check_took_too_long", check.name, f"not within {check.seconds:g} s", name=check.name)]


def say(findings: Sequence[Finding], *, as_json: bool) -> int:
    """Print them. Return 1 when one of them is a problem, else 0."""
    failed = any(finding.level is Level.PROBLEM for finding in findings)
    if as_json:
        typer.echo(json.dumps({"well": not failed, "findings": [asdict(finding) for finding in findings]}, indent=2))
        return int(failed)
    console = Console()
    for finding in findings:
        console.print(f"{MARKS[finding.level]} {finding.check}: {escape(finding.seen)}", soft_wrap=True)
        if finding.mend:
            console.print(f"    → {finding.mend}", markup=False, soft_wrap=True)
    return int(failed)
