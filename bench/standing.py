"""`nameplate bench edge`: the whole product, with names in it, that stands until it is told to end: for Locust.

Unlike the scenarios' it has control with the REST API, both lanes, and upstreams that answer.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from string import Template
from uuid import uuid4

from rich.console import Console

from bench.authority import Authority
from bench.envoys import CONNECTION_LANE
from bench.rows import add_names, add_served
from bench.users.target import Target
from embedded.database import Database
from embedded.envoy import Envoy, endpoints
from embedded.openbao import AppRoleCredentials
from embedded.ports import LOOPBACK, free_ports
from embedded.signals import ending
from embedded.stack import MOUNT, Stack, start
from embedded.vault_mount import VaultMount

FILE = "edge.json"
EXAMPLE = "checks=4,request=2,connection=2,api=1"
TENANTS = 20
TOKEN_LIFETIME = 8 * 3600


async def stand(out: Path, names: int, served: int, console: Console) -> int:
    """Until SIGTERM or Ctrl-C. The file is there when everything answers, and gone afterwards."""
    end = ending()
    file = out / FILE
    with tempfile.TemporaryDirectory(prefix="nameplate-edge-") as home:
        # Its users register and delete in a loop, which an ordinary plan ends after a while.
        async with start(Path(home), control={"DOMAINS_MAX_PER_TENANT": "1000000"}, report=console.print) as stack:
            await _fill(stack, names, served)
            configuration, port = _connection_lane(stack)
            async with Envoy.start(stack.home, configuration, name="envoy-connection"):
                out.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 -- nothing else runs yet
                _target(stack, names, served, port).write(file)
                console.print(f"locust -f bench/locustfile.py --target {file} --mix {EXAMPLE}", soft_wrap=True)
                try:
                    await end.wait()
                finally:
                    file.unlink()
    return 0


async def _fill(stack: Stack, names: int, served: int) -> None:
    database = Database(stack.postgres, "nameplate")
    nobody = AppRoleCredentials("", "")
    mount = VaultMount(stack.openbao, MOUNT, nobody, nobody)  # written to as root
    await add_served(database, mount, Authority(), 0, served)
    if names > served:
        await add_names(database, served, names - served, announced=True)


def _connection_lane(stack: Stack) -> tuple[str, int]:
    http_port, https_port = free_ports(2)
    text = Template(CONNECTION_LANE.read_text()).substitute(
        NODE_ID="edge-connection",
        LISTEN_ADDRESS=LOOPBACK,
        HTTP_PORT=http_port,
        HTTPS_PORT=https_port,
        CHECK_SOCKET=stack.home / "run" / "check.sock",
        XDS_SOCKET=stack.home / "run" / "xds.sock",
        UPSTREAMS=endpoints(*(upstream.port for upstream in stack.upstreams)),
        ACCESS_LOG="/dev/null",
        ADMIN_ADDRESS=LOOPBACK,
        ADMIN_PORT=0,
        MAX_CLIENTS=10_000,
        MAX_HEAP_BYTES=2 << 30,
    )
    return text, https_port


def _target(stack: Stack, names: int, served: int, connection_port: int) -> Target:
    return Target(
        names=names,
        served=served,
        request_port=stack.https_port,
        connection_port=connection_port,
        check_socket=str(stack.home / "run" / "check.sock"),
        api_url=stack.api_url,
        tokens=[stack.identity.token(uuid4(), lifetime=TOKEN_LIFETIME) for _ in range(TENANTS)],
    )
