"""The parsers of request headers are total, and a deadline is the number and the unit that it says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.grpcfast import Unary, reply
from sidecar.grpcfast.request import NotGrpc, Refused, Request, RequestReader
from sidecar.grpcfast.timeout import UNITS, read_timeout

READER = RequestReader({"/t.T/M": Unary(reply)})

names = st.sampled_from([b":method", b":path", b"content-type", b"te", b"grpc-timeout", b"grpc-encoding", b"x"])
values = st.one_of(
    st.binary(max_size=20),
    st.sampled_from([b"POST", b"/t.T/M", b"application/grpc", b"application/grpc+x", b"trailers", b"1S", b"gzip"]),
)


@given(st.integers(0, 99_999_999), st.integers(1, 8), st.sampled_from(sorted(UNITS)))
def test_a_deadline_is_its_number_times_its_unit(number: int, digits: int, unit: bytes) -> None:
    text = str(number).zfill(digits).encode() + unit
    assert read_timeout(text) == pytest.approx(number * UNITS[unit])


@given(st.binary(max_size=12))
def test_any_other_bytes_are_no_deadline(text: bytes) -> None:
    well_formed = 2 <= len(text) <= 9 and text[-1:] in UNITS and all(byte in b"0123456789" for byte in text[:-1])
    assert (read_timeout(text) is not None) == well_formed


@given(st.lists(st.tuples(names, values)))
def test_any_headers_are_a_call_or_a_refusal(headers: list[tuple[bytes, bytes]]) -> None:
    asked = READER.read(headers)
    fields = dict(headers)
    assert isinstance(asked, Request | Refused | NotGrpc)
    if isinstance(asked, Request):
        assert fields[b":method"] == b"POST"
        assert fields[b":path"] == b"/t.T/M"
        assert fields[b"content-type"].lower().startswith(b"application/grpc")
        assert asked.timeout is None or asked.timeout > 0
