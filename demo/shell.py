"""What a reader's shell needs to go on from the demo: addresses, tokens, and six short commands (docs/start.md)."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from embedded.ports import LOOPBACK
from embedded.stack import Stack

COMMANDS = """\
api() { curl -sS -w '\\n' -X "$1" -H "Authorization: Bearer $TOKEN" -H "$JSON" "$API$2" ${3:+-d "$3"}; }
visit() { curl -sS -w '\\n' --cacert "$ROOTS" --connect-to "::$HTTPS" "$@"; }
record() { "$PYTHON" -m demo.record "$DNS" "$@"; }
field() { "$PYTHON" -m demo.field "$@"; }
nameplate() { "$PYTHON" -m cli "$@"; }
explain() { nameplate explain --sidecar "$SIDECAR" "$@"; }
"""


def write(stack: Stack, token: str, operator_token: str) -> Path:
    """A file to be read by `.`; it holds tokens, so it is ours alone."""
    roots, file = stack.home / "roots.pem", stack.home / "shell"
    roots.write_text(stack.trust)
    values = {
        "API": stack.api_url,
        "JSON": "Content-Type: application/json",
        "TOKEN": token,
        "ADMIN": operator_token,
        "HTTPS": f"{LOOPBACK}:{stack.https_port}",
        "ROOTS": str(roots),
        "DNS": stack.dns.address,
        "SIDECAR": stack.admin_url,
        "PYTHON": sys.executable,
    }
    file.touch(mode=0o600)
    file.write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items()) + COMMANDS)
    return file
