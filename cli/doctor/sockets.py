"""The sidecar beside Envoy: its sockets, its snapshot, and what it says of itself."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Sequence
from pathlib import Path

import httpx

from cli.doctor.finding import Finding, found, well
from cli.doctor.port import taken
from sidecar.listen import Address, TcpAddress
from sidecar.settings import SidecarSettings
from sidecar.socket_path import answers

WITHIN = 3.0


async def examine(settings: SidecarSettings) -> Sequence[Finding]:
    both = (("socket of checks", settings.check_address), ("socket of secrets", settings.xds_address))
    return [_examined(what, address) for what, address in both]


def _examined(what: str, address: Address) -> Finding:
    if isinstance(address, TcpAddress):
        if taken(address.host, address.port):
            return well(what, f"{address} answers, with mutual TLS")
        return found("socket_missing", what, f"nobody listens at {address}")
    path = address.path
    if not (path.parent.is_dir() and os.access(path.parent, os.W_OK | os.X_OK)):
        # A directory that is missing is made, where its own parent lets us.
        if path.parent.exists() or not os.access(_nearest(path.parent), os.W_OK | os.X_OK):
            return found("socket_directory", what, f"{path.parent} is not ours to write to", directory=path.parent)
        return found("socket_missing", what, f"{path.parent} will be made")
    try:
        facts = path.lstat()
    except FileNotFoundError:
        return found("socket_missing", what, f"{path} is not there")
    if not stat.S_ISSOCK(facts.st_mode):
        return found("socket_foreign", what, f"{path} is no socket", path=path)
    if facts.st_mode & 0o077:
        return found("socket_open", what, f"{path} has mode {stat.S_IMODE(facts.st_mode):03o}", path=path)
    if not os.access(path, os.R_OK | os.W_OK):
        return found("socket_closed", what, f"{path} is {_user(facts.st_uid)}'s", owner=_user(facts.st_uid))
    if not answers(path):
        return found("socket_stale", what, f"nobody listens at {path}")
    return well(what, f"{path} answers, for {_user(facts.st_uid)} alone")


async def state(settings: SidecarSettings) -> Sequence[Finding]:
    what, folder = "snapshot", settings.state_dir
    nearest = _nearest(folder)
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        return [found("state_directory", what, f"{folder} is not ours to write to", directory=folder)]
    files = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    return [well(what, f"{folder} has {', '.join(files)}" if files else f"{folder} has none yet")]


async def readiness(settings: SidecarSettings) -> Sequence[Finding]:
    """What a sidecar that runs says of itself."""
    what, admin = "sidecar", str(settings.admin_listen)
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=WITHIN) as http:
            answer = await http.get(f"http://{admin}/readyz")
        said = answer.json()
    except httpx.HTTPError:
        return [found("socket_missing", what, f"nobody answers at {admin}")]
    except ValueError:
        return [found("sidecar_not_ready", what, f"what answers at {admin} is no sidecar", admin=admin)]
    if not isinstance(said, dict) or not said.get("ready"):
        why = said.get("why_not") if isinstance(said, dict) else None
        return [found("sidecar_not_ready", what, str(why or "not ready"), admin=admin)]
    stale = ", its feed is behind" if said.get("stale") else ""
    return [well(what, f"ready, {said.get('names')} names{stale}")]


def _nearest(folder: Path) -> Path:
    """The folder, or the one above it that is there."""
    return next(one for one in (folder, *folder.parents) if one.exists())


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
