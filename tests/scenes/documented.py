"""The commands of a page of docs, as a reader would type them: the fenced blocks after `<!-- run: MARK -->`."""

from __future__ import annotations

import asyncio
import os
import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^ *<!-- run: (\w+) -->\n+ *```sh\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
SHELL = re.compile(r"^ *```sh\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def unmarked(page: str) -> Sequence[str]:
    """The commands of a page that no test runs as they stand."""
    return [textwrap.dedent(script) for script in SHELL.findall(BLOCK.sub("", (DOCS / page).read_text()))]


def blocks(page: str, mark: str) -> Sequence[str]:
    """In the order of the page. Raises LookupError when there are none."""
    found = [textwrap.dedent(script) for name, script in BLOCK.findall((DOCS / page).read_text()) if name == mark]
    if not found:
        raise LookupError(f"docs/{page} has no block `{mark}`")
    return found


async def run(script: str, environment: Mapping[str, str], directory: Path) -> str:
    """Its output; a command that fails ends it, and is an AssertionError with all that was said."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", script),
        env={**os.environ, **environment},
        cwd=directory,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    text = out.decode()
    assert process.returncode == 0, f"{script}\n{text}"
    return text
