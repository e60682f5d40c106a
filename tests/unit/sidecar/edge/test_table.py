"""The table: what is known, who is told, and what the log says of what was left out."""

from __future__ import annotations

import structlog
from scenes.edges import change, edges, sample

from sidecar.edge.model import SERVICE, Edge
from sidecar.edge.rows import build
from sidecar.edge.snapshot import encode
from sidecar.edge.table import LOGGED, EdgeTable

KEY = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----\n"


def test_nothing_is_known_at_first_and_an_empty_edge_is_something() -> None:
    table = EdgeTable()
    told: list[tuple[Edge | None, Edge]] = []
    table.subscribe(lambda before, now: told.append((before, now)))
    assert table.current is None
    table.replace(Edge())
    table.replace(Edge())
    assert told == [(None, Edge())]
    assert table.revision == 1


def test_what_is_left_out_is_logged_once_for_each_reason() -> None:
    with structlog.testing.capture_logs() as logs:
        table = edges(Edge(left_out={(SERVICE, "a"): "one", (SERVICE, "b"): "one"}))
        change(table, trust=sample().trust)
        change(table, left_out={(SERVICE, "a"): "one", (SERVICE, "b"): "two"})
    assert [(entry["name"], entry["reason"]) for entry in logs] == [("a", "one"), ("b", "one"), ("b", "two")]


def test_of_many_that_are_left_out_at_once_the_log_has_some() -> None:
    with structlog.testing.capture_logs() as logs:
        edges(Edge(left_out={(SERVICE, f"s{number}"): "why" for number in range(LOGGED + 5)}))
    assert len(logs) == LOGGED
    assert {entry["others"] for entry in logs} == {5}


def test_a_private_key_among_authorities_is_neither_kept_nor_said() -> None:
    edge = build([("trust", ["roots", KEY])])
    with structlog.testing.capture_logs() as logs:
        edges(edge)
    said = str(logs) + str(edge) + b"".join(encode("p", edge)).decode()
    assert not edge.trust
    assert logs
    assert "MIGHAgEA" not in said
