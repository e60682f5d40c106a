"""The edge changes between the checks, and no answer that was kept outlives it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from scenes.checks import (
    DOMAINS,
    ENTRIES,
    TENANTS,
    Names,
    Tokens,
    check_request,
    connection_request,
    processing_request,
)
from scenes.edges import edges

from sidecar.authz.check import Checker
from sidecar.edge.model import CLIENT_AUTH, Edge
from sidecar.extproc.processor import Processor

SERVICES = st.sampled_from(["default", "a", "b"])
EDGES = st.builds(
    Edge,
    by_tenant=st.dictionaries(st.sampled_from(TENANTS), SERVICES),
    by_domain=st.dictionaries(st.sampled_from(DOMAINS), SERVICES),
    left_out=st.dictionaries(st.sampled_from(DOMAINS).map(lambda domain: (CLIENT_AUTH, domain)), st.just("why")),
)
HOSTS = st.sampled_from([each.hostname for each in ENTRIES] + ["a.wild.example", "nobody.example"])


@given(st.lists(st.tuples(st.none() | EDGES, HOSTS, HOSTS | st.none())))
def test_a_checker_that_keeps_answers_says_what_a_new_one_would(
    steps: list[tuple[Edge | None, str, str | None]],
) -> None:
    table, names = edges(), Names()
    keeping, processing = Checker(names, Tokens(), table, bytes), Processor(names, Tokens(), table, bytes)
    for edge, host, other in steps:
        if edge is not None:
            table.replace(edge)
        for sni in (host, other or host, host):
            fresh, anew = Checker(names, Tokens(), table, bytes), Processor(names, Tokens(), table, bytes)
            for request in (check_request(host, b"/", sni), connection_request(sni)):
                assert keeping.check(request) == fresh.check(request)
            assert processing.check(processing_request(host, b"/", sni)) == anew.check(
                processing_request(host, b"/", sni)
            )
