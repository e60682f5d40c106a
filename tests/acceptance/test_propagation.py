"""On the whole stack: the API proves that a change is everywhere, and `nameplate explain` says what became of it."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from scenes.play import Play

ROOT = Path(__file__).parents[2]


async def explain(play: Play, host: str) -> tuple[int, dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "cli", "explain", host, "--json", "--sidecar", play.stack.admin_url),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, json.loads(out)


async def test_the_api_proves_where_a_domain_is_from_active_to_deleted(play: Play) -> None:
    owner, host = play.customer(), f"shop.{play.zone}"
    body = await play.active(owner, host)
    await play.visit(host)

    async def everywhere() -> dict[str, Any] | None:
        shown = await owner._call("GET", f"domains/{body['id']}/propagation")
        return shown if shown["complete"] else None

    shown = await play.eventually(everywhere, timeout=20)
    assert shown["sidecars"] == {"live": 1, "have": 1, "silent": 0}
    assert shown["envoys"]["connected"] == shown["envoys"]["acknowledged"] == 1
    history = await owner._call("GET", f"domains/{body['id']}/audit")
    (detail,) = [entry["detail"] for entry in history["data"] if entry["action"] == "activate"]
    assert detail["sidecars"] == {"live": 1, "have": 1}

    code, said = await explain(play, host)
    assert (code, said["served"], said["row"]["match"], said["row"]["domain"]) == (0, True, "exact", body["id"])
    assert said["certificate"]["serial"] == body["certificate"]["serial"]
    assert [envoy["version"] for envoy in said["envoys"]] == [said["certificate"]["version"]]

    await owner.delete(body["id"])
    gone = await play.eventually(everywhere, timeout=20)
    assert gone["generation"] > shown["generation"]
    assert gone["envoys"]["acknowledged"] == 1
    code, said = await explain(play, host)
    assert (code, said["served"], said["row"]["match"], said["envoys"]) == (1, False, "absent", [])
