"""Unicode is shown beside a name only where it cannot be taken for another one."""

from __future__ import annotations

import idna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.ui.hostnames import both, unicode_of


@pytest.mark.parametrize(
    ("hostname", "shown"),
    [
        ("shop.example.com", None),
        ("xn--bcher-kva.example", "bücher.example"),
        ("*.xn--bcher-kva.example", "*.bücher.example"),
        ("xn--wgv71a119e.jp", "日本語.jp"),
        ("xn--a.example", None),  # no A-label at all
        ("xn--e1awd7f.com", None),  # "epic" in Cyrillic
        ("xn--80ak6aa92e.com", None),  # "apple" in Cyrillic
        ("xn--e1afmkfd.xn--p1ai", "пример.рф"),
        ("xn--.example", None),
    ],
)
def test_what_is_shown(hostname: str, shown: str | None) -> None:
    assert unicode_of(hostname) == shown


@given(st.text(st.characters(categories=["Ll", "Lo", "Nd"]), min_size=1, max_size=12))
def test_what_is_shown_is_the_same_name(label: str) -> None:
    try:
        hostname = idna.encode(label).decode() + ".example"
    except idna.IDNAError:
        return
    shown = unicode_of(hostname)
    assert shown is None or idna.encode(shown).decode() == hostname


@given(st.text("abcdefghijklmnopqrstuvwxyz0123456789-.*xn", max_size=60))
def test_any_text_is_survived(text: str) -> None:
    unicode_of(text)


def test_scripts_are_not_mixed() -> None:
    mixed = idna.encode("pаypal").decode()  # the first a is Cyrillic
    assert unicode_of(f"{mixed}.com") is None


def test_in_a_title_both_stand_together() -> None:
    assert both("xn--bcher-kva.example") == "bücher.example (xn--bcher-kva.example)"
    assert both("shop.example") == "shop.example"
    assert both("xn--80ak6aa92e.com") == "xn--80ak6aa92e.com"
