"""Every case of the tables, on a connection of its own: h2spec's, and what RFC 9113 and RFC 7541 say beyond them."""

from __future__ import annotations

from pathlib import Path

import pytest
from conformance import (
    h2spec_connection,
    h2spec_frames,
    h2spec_generic,
    h2spec_hpack,
    h2spec_messages,
    rfc9113_fields,
    rfc9113_frames,
)
from conformance.case import Case
from conformance.peer import Peer

CASES = (
    *h2spec_generic.CASES,
    *h2spec_connection.CASES,
    *h2spec_frames.CASES,
    *h2spec_messages.CASES,
    *h2spec_hpack.CASES,
    *rfc9113_fields.CASES,
    *rfc9113_frames.CASES,
)


def test_no_two_cases_have_one_name() -> None:
    assert len({case.id for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_the_server_answers_as_the_table_says(case: Case, standing: Path) -> None:
    peer = await Peer.connect(standing)
    try:
        await case.run(peer)
    finally:
        peer.close()
