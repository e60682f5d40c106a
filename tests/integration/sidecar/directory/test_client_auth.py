"""That a domain asks for client certificates is known with the domain: a sidecar that does not know which says 503."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from scenes.checks import check_request, connection_request
from scenes.directory import Rows, Running, live_names, running
from scenes.edges import EdgeRows

from embedded.database import Database
from sidecar.authz.check import Checker
from sidecar.authz.policy import Pending
from sidecar.directory.entry import Entry
from sidecar.edge.table import EdgeTable
from sidecar.wire.check_pb2 import CheckResponse

Eventually = Callable[..., Awaitable[Any]]
HOST = "m.test"


@pytest.fixture
def edge_rows(rows: Rows) -> EdgeRows:
    return EdgeRows(rows.connection)


def checker(sidecar: Running) -> Checker[bytes]:
    service = sidecar.service
    return Checker(service.directory, service.challenges, service.edge, bytes)


def status(of: Checker[bytes], host: str = HOST) -> int:
    answer = of.check(check_request(host, b"/", host))
    assert not isinstance(answer, Pending)
    return CheckResponse.FromString(answer).denied_response.status.code or 200


async def test_the_row_says_so_as_long_as_it_is_so_and_what_was_let_in_before_ends(
    rows: Rows, edge_rows: EdgeRows, sidecar: Running, database: Database, eventually: Eventually
) -> None:
    domain = await rows.domain(HOST)
    await eventually(lambda: sidecar.directory.peek(HOST))
    of = checker(sidecar)
    assert status(of) == 200
    await edge_rows.client_auth(domain)
    await eventually(lambda: _asks(sidecar.directory.peek(HOST)))
    assert status(of) in (421, 503)
    await eventually(lambda: status(of) == 421)
    assert {registration for ended in sidecar.ended for registration in ended} == {str(domain)}
    assert sidecar.held() == await live_names(database)
    assert of.check(connection_request(HOST)) == of.check(connection_request("nobody.test"))
    await edge_rows.remove("client_auth", "domain_id", domain)
    await eventually(lambda: status(of) == 200)
    assert not _asks(sidecar.directory.peek(HOST))


async def test_a_domain_that_goes_live_later_is_never_served_without(
    rows: Rows, edge_rows: EdgeRows, sidecar: Running, eventually: Eventually
) -> None:
    of = checker(sidecar)
    for number in range(10):
        host = f"m{number}.test"
        domain = await rows.domain(host, "pending")
        await edge_rows.client_auth(domain)
        await rows.status(host, "active")
        seen = set()

        async def asked(host: str = host, seen: set[int] = seen) -> bool:
            await sidecar.service.source.load(host)
            seen.add(status(of, host))
            return 421 in seen

        await eventually(asked)
        assert seen <= {404, 421, 503}


async def test_an_edge_from_before_serves_nobody(
    rows: Rows, edge_rows: EdgeRows, sidecar: Running, eventually: Eventually
) -> None:
    """As of a snapshot, where the directory's is newer."""
    old = EdgeTable()
    assert sidecar.service.edge.current is not None
    old.replace(sidecar.service.edge.current)
    domain = await rows.domain(HOST)
    await edge_rows.client_auth(domain)
    await eventually(lambda: _asks(sidecar.directory.peek(HOST)))
    service = sidecar.service
    of = Checker(service.directory, service.challenges, old, bytes)
    assert status(of) == 503
    assert of.check(connection_request(HOST)) == of.check(connection_request("nobody.test"))


async def test_a_restarted_sidecar_knows_it_from_its_snapshots(
    rows: Rows, edge_rows: EdgeRows, database: Database, state_dir: Path, eventually: Eventually
) -> None:
    domain = await rows.domain(HOST)
    await edge_rows.client_auth(domain)
    async with running(database.sidecar_dsn, state_dir) as first:
        await eventually(lambda: _asks(first.directory.peek(HOST)))
        await eventually(lambda: status(checker(first)) == 421)
        await eventually(lambda: len(list(state_dir.glob("*"))) >= 2)
    async with running("postgresql://nobody@127.0.0.1:1/none", state_dir) as again:
        await eventually(lambda: _asks(again.directory.peek(HOST)))
        assert status(checker(again)) in (421, 503)


def _asks(entry: Entry | None) -> bool:
    return entry is not None and entry.client_auth
