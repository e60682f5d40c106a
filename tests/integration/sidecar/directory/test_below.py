"""Names below a wildcard that asks for client certificates: each is known from when it is there until it is not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
from scenes.directory import Rows, Running
from scenes.edges import EdgeRows

from embedded.database import Database
from sidecar.edge.model import BELOW
from sidecar.xds.resources.build import MOST_BELOW

Eventually = Callable[..., Awaitable[Any]]


async def test_names_below_a_wildcard_that_asks_for_client_certificates_are_known_as_they_come_and_go(
    rows: Rows, edge_rows: EdgeRows, sidecar: Running, eventually: Eventually
) -> None:
    table = sidecar.service.edge
    domain = await rows.domain("*.w.test")
    for hostname in ("a.w.test", "deep.a.w.test", "w.test", "*.a.w.test", "aw.test"):
        await rows.domain(hostname)
    await rows.domain("pending.w.test", "pending")
    await edge_rows.client_auth(domain)
    await eventually(lambda: table.current.below == {str(domain): ("a.w.test",)})
    await rows.domain("b.w.test", "verified")
    await eventually(lambda: table.current.below == {str(domain): ("a.w.test", "b.w.test")})
    await rows.status("pending.w.test", "active")
    await eventually(lambda: len(table.current.below[str(domain)]) == 3)
    await rows.delete("a.w.test")
    await rows.status("pending.w.test", "failed")
    await eventually(lambda: table.current.below == {str(domain): ("b.w.test",)})
    await edge_rows.remove("client_auth", "domain_id", domain)
    await eventually(lambda: not table.current.below)
    loads = table.loads
    await rows.delete("b.w.test")
    await eventually(lambda: "b.w.test" not in sidecar.believed)
    assert table.loads == loads, "the edge is read when it may be another one"


async def test_a_name_that_comes_while_its_wildcard_begins_to_ask_is_known(
    database: Database, rows: Rows, edge_rows: EdgeRows, sidecar: Running, eventually: Eventually
) -> None:
    """Neither of the two transactions sees the other."""
    domain = await rows.domain("*.w.test")
    name = await rows.domain("own.w.test", "pending")
    other = await asyncpg.connect(database.control_dsn)
    try:
        async with other.transaction():
            await other.execute("UPDATE custom_domains SET status = 'active' WHERE id = $1", name)
            await edge_rows.client_auth(domain)
            await eventually(lambda: str(domain) in sidecar.service.edge.current.client_auth)
            assert not sidecar.service.edge.current.below
        await eventually(lambda: sidecar.service.edge.current.below == {str(domain): ("own.w.test",)})
    finally:
        await other.close()


async def test_so_many_names_below_a_wildcard_are_read_and_one_more(
    rows: Rows, edge_rows: EdgeRows, sidecar: Running, eventually: Eventually
) -> None:
    domain = await rows.domain("*.w.test")
    await rows.domains(f"n{number}.w.test" for number in range(MOST_BELOW + 5))
    await edge_rows.client_auth(domain)
    await eventually(lambda: sidecar.service.edge.current.below, timeout=10)
    assert len(sidecar.service.edge.current.below[str(domain)]) == MOST_BELOW + 1
    assert sidecar.service.edge_stats().rows[BELOW] == MOST_BELOW + 1


async def test_names_below_a_wildcard_are_found_by_an_index(
    rows: Rows, edge_rows: EdgeRows, superuser: asyncpg.Connection[Any]
) -> None:
    """Whether or not PostgreSQL has counted the rows."""
    await edge_rows.client_auth(await rows.domain("*.w.test"))
    await rows.domains(f"n.z{number}.test" for number in range(5000))
    for command in ("SELECT", "ANALYZE custom_domains"):
        await superuser.execute(command)
        plan = await superuser.fetch("EXPLAIN SELECT * FROM client_auth_below_v1")
        assert "idx_domains_below" in "\n".join(row[0] for row in plan)
