"""Conditions of requests: whatever the headers hold, nothing is changed that is not as they say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from api.conditions import ALWAYS, Condition, PreconditionFailed, entity_tag

TAGS = st.sampled_from([entity_tag(text) for text in "abc"])
LISTS = st.lists(TAGS, min_size=1, max_size=3)


def request(**headers: list[str]) -> Request:
    raw = [
        (name.replace("_", "-").encode(), value.encode("latin-1"))
        for name, values in headers.items()
        for value in values
    ]
    return Request({"type": "http", "method": "PUT", "path": "/", "query_string": b"", "headers": raw})


def holds(condition: Condition, tag: str | None) -> bool:
    try:
        condition.check(tag)
    except PreconditionFailed:
        return False
    return True


@given(st.none() | TAGS)
def test_without_conditions_all_is_well(tag):
    assert holds(ALWAYS, tag)
    assert holds(Condition.of(request()), tag)
    Condition.of(request()).check_untagged()


@given(LISTS, st.none() | TAGS, st.sampled_from([",", ", ", " ,\t"]), st.booleans())
def test_if_match_holds_for_what_is_listed(tags, tag, between, apart):
    lines = tags if apart else [between.join(tags)]
    assert holds(Condition.of(request(if_match=lines)), tag) == (tag in tags)
    assert holds(Condition.of(request(if_none_match=lines)), tag) == (tag not in tags)
    with pytest.raises(PreconditionFailed):
        Condition.of(request(if_match=lines)).check_untagged()


@given(LISTS, TAGS)
def test_a_weak_tag_never_matches_but_excludes(tags, tag):
    weak = [f"W/{one}" for one in tags]
    assert not holds(Condition.of(request(if_match=weak)), tag)
    assert holds(Condition.of(request(if_none_match=weak)), tag) == (tag not in tags)


@given(st.none() | TAGS)
def test_an_asterisk_asks_whether_it_is_there(tag):
    assert holds(Condition.of(request(if_match=["*"])), tag) == (tag is not None)
    assert holds(Condition.of(request(if_none_match=["*"])), tag) == (tag is None)
    Condition.of(request(if_match=["*"])).check_untagged()


@given(st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0")), st.none() | TAGS)
def test_what_cannot_be_read_does_not_hold(text, tag):
    try:
        condition = Condition.of(request(if_match=[text]))
    except PreconditionFailed:
        return
    assert condition.matches == ("*",) or all(one in text for one in condition.matches or ())
    assert not holds(condition, entity_tag("something else")) or condition.matches == ("*",)


@given(st.lists(st.text()), st.lists(st.text()))
def test_tags_are_the_same_for_the_same_parts_only(first, second):
    assert (entity_tag(*first) == entity_tag(*second)) == (first == second)
