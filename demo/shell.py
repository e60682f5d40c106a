"""What a reader's shell needs to go on from the demo: addresses, tokens, settings, short commands (docs/start.md)."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from embedded import envoy
from embedded.ports import LOOPBACK
from embedded.stack import Stack

COMMANDS = """\
api() { curl -sS -w '\\n' -X "$1" -H "Authorization: Bearer $TOKEN" -H "$JSON" "$API$2" ${3:+-d "$3"}; }
visit() { curl -sS -w '\\n' --cacert "$ROOTS" --connect-to "::$HTTPS" "$@"; }
record() { "$PYTHON" -m demo.record "$DNS" "$@"; }
field() { "$PYTHON" -m demo.field "$@"; }
nameplate() { "$PYTHON" -m cli "$@"; }
explain() { nameplate explain --sidecar "$SIDECAR" "$@"; }
doctor() { (set -a; . "$STATE/control.env"; nameplate doctor "$@"); }
doctor_sidecar() { (set -a; . "$STATE/sidecar.env"
  nameplate doctor sidecar --envoy "$ENVOY" --envoy-admin "unix:$STATE/envoy/admin.sock" "$@"); }
"""


def write(stack: Stack, token: str, operator_token: str) -> Path:
    """A file to be read by `.`; beside it the settings of both processes. They hold secrets, so they are ours alone."""
    roots = stack.home / "roots.pem"
    roots.write_text(stack.trust)
    _write(stack.home / "control.env", stack.control_environment)
    _write(stack.home / "sidecar.env", stack.sidecar_environment)
    values = {
        "API": stack.api_url,
        "JSON": "Content-Type: application/json",
        "TOKEN": token,
        "ADMIN": operator_token,
        "HTTPS": f"{LOOPBACK}:{stack.https_port}",
        "ROOTS": str(roots),
        "DNS": stack.dns.address,
        "SIDECAR": stack.admin_url,
        "STATE": str(stack.home),
        "ENVOY": str(envoy.program()),
        "PYTHON": sys.executable,
    }
    return _write(stack.home / "shell", values, COMMANDS)


def _write(file: Path, values: Mapping[str, str], commands: str = "") -> Path:
    file.touch(mode=0o600)
    file.write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items()) + commands)
    return file
