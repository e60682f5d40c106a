"""The OpenAPI document is true: schemathesis holds the running API against it, as two tenants; one is the admin too."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from scenes.overview import watched

from api.operations import OPERATIONS
from api.problems import ADMIN_SCOPE
from embedded.database import Database

ROOT = Path(__file__).parents[3]
HOOKS = Path(__file__).with_name("schemathesis_hooks.py")
TENANTS = ("alice", "mallory")
EXAMPLES = 10

CONFIGURATION = f"""
hooks = "{HOOKS}"

[generation]
max-examples = {EXAMPLES}
database = "none"

[cache]
enabled = false

[auth.wfc]
path = "tenants.json"
peers = {json.dumps(TENANTS)}

[checks.positive_data_acceptance]
# 403: mallory is no admin. 412: conditions. 422: rules that a schema cannot tell, such as the Public Suffix List.
expected-statuses = ["2xx", "403", "404", "409", "412", "422", "429"]

[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "406", "409", "412", "413", "415", "422", "428", "429"]

[checks.not_a_server_error]
expected-statuses = ["2xx", "4xx"]
"""


async def test_the_api_does_what_its_document_says(
    database: Database,
    serve: Callable[..., Any],
    issuer: Any,
    scripted: Any,
    endpoints: Any,
    uploads: Any,
    upstreams: Any,
    workers: Any,
    ui: Any,
    state_dir: Path,
) -> None:
    (state_dir / "schemathesis.toml").write_text(CONFIGURATION)
    tokens = {"alice": issuer.token(uuid4(), scope=ADMIN_SCOPE), "mallory": issuer.token(uuid4())}
    tenants = [
        {"name": name, "fixedHeaders": [{"name": "Authorization", "value": f"Bearer {token}"}]}
        for name, token in tokens.items()
    ]
    (state_dir / "tenants.json").write_text(json.dumps({"auth": tenants}))
    offered = {"max_domains": 1_000_000, "diagnostician": scripted, "endpoints": endpoints}
    offered |= {"uploads": uploads, "upstreams": upstreams, "ui": ui, "overview": watched(workers).overview}
    async with serve(database.api_dsn, **offered) as url:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "--no-color"),
            *("run", f"{url}/openapi.json", "--origin", url),
            *("--checks", "all", "--phases", "examples,coverage,fuzzing,stateful", "--seed", "1"),
            *("--continue-on-failure", "--request-timeout", "10"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=state_dir,
            env={**os.environ, "COLUMNS": "160", "PYTHONPATH": str(ROOT)},
        )
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert f"{len(OPERATIONS)} selected / {len(OPERATIONS)} total" in output.decode()
    assert "object_level_authorization" not in output.decode()  # it says so when a check does not run
