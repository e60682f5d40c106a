"""When DNSSEC is to blame: each row is one resolver's first answer, its second, and that with checking disabled."""

from __future__ import annotations

import pytest

from control.dns.outcome import Answer, NoName, Outcome, ServFail, Timeout
from control.preflight.dnssec import is_bogus

FAILS, ANSWERS, MISSING, SILENT = ServFail("r"), Answer("r", (b"x",)), NoName("r"), Timeout("r")


@pytest.mark.parametrize(
    ("first", "second", "unchecked", "bogus"),
    [
        (FAILS, FAILS, ANSWERS, True),
        (FAILS, FAILS, MISSING, True),
        (FAILS, ServFail("r", "cached_error"), ANSWERS, True),
        (ServFail("r", "dnssec_bogus"), FAILS, FAILS, True),
        (FAILS, ANSWERS, ANSWERS, False),  # the trouble has passed
        (FAILS, FAILS, FAILS, False),
        (FAILS, FAILS, SILENT, False),
        (FAILS, SILENT, ANSWERS, False),
        (ServFail("r", "no_reachable_authority"), FAILS, ANSWERS, False),
        (FAILS, ServFail("r", "network_error"), ANSWERS, False),
        (ANSWERS, FAILS, ANSWERS, False),
        (SILENT, FAILS, ANSWERS, False),
    ],
)
def test_it_is_dnssec_when_only_checking_fails(
    first: Outcome, second: Outcome, unchecked: Outcome, bogus: bool
) -> None:
    assert is_bogus([first], [(second, unchecked)]) == bogus


def test_one_resolver_of_several_is_enough() -> None:
    assert is_bogus([ANSWERS, FAILS], [(ANSWERS, ANSWERS), (FAILS, ANSWERS)])
    assert not is_bogus([ANSWERS, FAILS], [])
