"""What a restarted sidecar must import before it answers its first check."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CODE = """
import json, sys
import sidecar.directory.service
from sidecar.edge.rows import build
spec = json.dumps({"addresses": [{"host": "127.0.0.1", "port": 1}]})
edge = build([("services", ["default", spec]), ("identities", ["default", "ab" * 32, 1, 2e9])])
assert not edge.left_out
print(*sys.modules, sep="\\n")
"""


def test_an_edge_without_authorities_needs_nothing_that_reads_certificates() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=Path(__file__).parents[4], capture_output=True, text=True, check=True
    )
    modules = set(done.stdout.split())
    assert "sidecar.edge.rows" in modules
    assert not {"cryptography", "core.trust", "core.client_auth"} & modules
