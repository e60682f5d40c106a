from __future__ import annotations

from sidecar.xds.spellings import LIMIT, Spellings

SPELLED = ["Shop.example", "sHop.example", "shOp.example", "shoP.example", "SHOP.example"]


def test_lower_case_is_always_allowed() -> None:
    spellings = Spellings()
    for name in SPELLED[:LIMIT]:
        spellings.served(name)
    assert spellings.allows("shop.example")


def test_a_fifth_other_spelling_is_not_allowed() -> None:
    spellings = Spellings()
    for name in SPELLED[:LIMIT]:
        assert spellings.allows(name)
        spellings.served(name)
    assert not spellings.allows(SPELLED[LIMIT])
    assert spellings.allows(SPELLED[0])
    assert spellings.allows("Other.example")


def test_a_spelling_that_went_makes_room() -> None:
    spellings = Spellings()
    for name in SPELLED[:LIMIT]:
        spellings.served(name)
    spellings.gone(SPELLED[0])
    assert spellings.allows(SPELLED[LIMIT])


def test_nothing_is_kept_of_names_that_went() -> None:
    spellings = Spellings()
    for name in SPELLED[:LIMIT]:
        spellings.served(name)
    for name in SPELLED:
        spellings.gone(name)
    assert not spellings._served
