"""Envoy beside the sidecar: is its version one that is known, does it take its bootstrap, does it run and serve."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import Sequence

import httpx

from cli.doctor.finding import Finding, found, well
from sidecar.bootstrap import KNOWN_VERSIONS, Bootstrap, BootstrapError
from sidecar.listen import TcpAddress
from sidecar.settings import SidecarSettings

WHAT = "Envoy"
CONFIGURATION = "Envoy's bootstrap"
ADMIN = "Envoy's administration"
WITHIN = 3.0
MOST_WORDS = 300

_version = re.compile(r"/(\d+\.\d+)\.\d+[^/]*/")  # a revision/1.40.0/Clean/RELEASE/BoringSSL


async def examine(settings: SidecarSettings, program: str | None) -> Sequence[Finding]:
    """`program`: Envoy's, if not the one on the PATH."""
    envoy = shutil.which(program or "envoy")
    if envoy is None:
        return [found("envoy_missing", WHAT, f"there is no {program or 'envoy'}")]
    said = await _run(envoy, "--version")
    version = _version.search(said[1])
    if version is None or version[1] not in KNOWN_VERSIONS:
        seen = f"version {version[1]}" if version else "it does not say its version"
        return [found("envoy_version", WHAT, seen, versions=" or ".join(KNOWN_VERSIONS))]
    return [well(WHAT, f"version {version[1]}"), await _configuration(settings, envoy)]


async def _configuration(settings: SidecarSettings, envoy: str) -> Finding:
    if any(isinstance(address, TcpAddress) for address in (settings.check_address, settings.xds_address)):
        return well(CONFIGURATION, "not looked at: its TLS files are on Envoy's machine")
    wanted = Bootstrap("nameplate-doctor", str(settings.check_address), str(settings.xds_address))
    try:
        text = wanted.render()
    except BootstrapError as error:
        return found("envoy_configuration", CONFIGURATION, error.message, envoy=envoy)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        code, said = await _run(envoy, "--mode", "validate", "-c", file.name, "--log-level", "error")
    if code != 0:
        words = " ".join(said.split())[-MOST_WORDS:]
        return found("envoy_configuration", CONFIGURATION, words or f"exit code {code}", envoy=envoy)
    return well(CONFIGURATION, "Envoy takes it")


async def administration(address: str) -> Sequence[Finding]:
    """`address`: IP:PORT, or unix:PATH."""
    path = address.removeprefix("unix:") if address.startswith("unix:") else None
    transport = httpx.AsyncHTTPTransport(uds=path)
    base = "http://envoy" if path else f"http://{address}"
    try:
        async with httpx.AsyncClient(transport=transport, timeout=WITHIN, trust_env=False) as http:
            said = (await http.get(f"{base}/server_info")).json()
        state, version = str(said["state"]), _version.search(str(said["version"]))
    except (httpx.HTTPError, httpx.InvalidURL, OSError):
        return [found("envoy_admin", ADMIN, f"nobody answers at {address}")]
    except (ValueError, KeyError, TypeError):
        return [found("envoy_admin", ADMIN, f"what answers at {address} is no Envoy")]
    if version is None or version[1] not in KNOWN_VERSIONS:
        seen = f"the Envoy that runs is {version[1] if version else 'of no version'}"
        return [found("envoy_version", ADMIN, seen, versions=" or ".join(KNOWN_VERSIONS))]
    if state != "LIVE":
        return [found("envoy_not_live", ADMIN, f"it is {state}", admin=address)]
    return [well(ADMIN, f"live, version {version[1]}")]


async def _run(*arguments: str) -> tuple[int, str]:
    """Exit code and all that it says. It ends with the check."""
    process = await asyncio.create_subprocess_exec(
        *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    return process.returncode or 0, output.decode(errors="replace")
