from __future__ import annotations

import pytest

from api.idempotency import idempotency, parse_key
from api.problems import Problem


def test_without_the_header_there_is_no_key() -> None:
    assert parse_key([]) is None
    assert idempotency([], "POST /domains", "a.example.com") is None


@pytest.mark.parametrize("key", ["a", "!" * 255, '"8e03978e-40d5-43dd-bc93-6894a57f9324"'])
def test_a_key_is_visible_ascii(key: str) -> None:
    assert parse_key([key]) == key


@pytest.mark.parametrize("values", [[""], ["a b"], ["a" * 256], ["ü"], ["a\x00"], ["a\n"], ["a", "b"], ["a", "a"]])
def test_another_key_is_refused(values: list[str]) -> None:
    with pytest.raises(Problem) as refused:
        parse_key(values)
    assert refused.value.code == "invalid_idempotency_key"


def test_the_fingerprint_is_of_what_is_asked() -> None:
    first = idempotency(["k"], "POST /domains", "a.example.com")
    assert first == idempotency(["k"], "POST /domains", "a.example.com")
    assert first is not None
    for operation, asked in (("POST /domains", "b.example.com"), ("POST /other", "a.example.com")):
        other = idempotency(["k"], operation, asked)
        assert other is not None
        assert other.fingerprint != first.fingerprint
