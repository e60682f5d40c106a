from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from api.exchange import accepted_id, may_be_long


@pytest.mark.parametrize(
    ("values", "accepted"),
    [
        (["a1"], "a1"),
        (["trace:1.2_3-4"], "trace:1.2_3-4"),
        (["a" * 128], "a" * 128),
        (["a" * 129], None),
        ([""], None),
        (["a\n"], None),
        (["a b"], None),
        (["é"], None),
        (["a", "b"], None),
        ([], None),
    ],
)
def test_only_a_sound_request_id_is_accepted(values: list[str], accepted: str | None) -> None:
    assert accepted_id(values) == accepted


@pytest.mark.parametrize(
    ("headers", "long"),
    [
        ({}, False),
        ({"content-length": "0"}, False),
        ({"content-length": "70000"}, False),
        ({"content-length": "2000000"}, True),
        ({"content-length": "9" * 5000}, True),
        ({"content-length": "x"}, True),
        ({"transfer-encoding": "chunked"}, True),
    ],
)
def test_a_body_without_a_known_small_size_may_be_long(headers: dict[str, str], long: bool) -> None:
    assert may_be_long(Headers(headers)) is long
