"""Whatever an operator writes into the list of CAs, it is read as CAs or refused with a sentence."""

from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st

from control.acme.ca import MOST, Ca, read_list

NAMES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,31}", fullmatch=True)
CAS = st.fixed_dictionaries(
    {"name": NAMES, "directory_url": NAMES.map(lambda name: f"https://{name}.example/dir")},
    optional={
        "contact": st.sampled_from(["", "ops@platform.io", "mailto:ops@platform.io", "https://platform.io/ops"]),
        "profile": st.sampled_from(["classic", "tlsserver", "shortlived"]),
        "eab": st.booleans(),
        "caa_identities": st.lists(st.sampled_from(["ca.example", "other.example"]), min_size=1),
    },
)
VALUES = st.booleans() | st.integers(-9, 9) | st.text(max_size=20) | st.lists(st.text(max_size=9), max_size=3)
FIELDS = st.sampled_from([*Ca.model_fields, "", "hmac"])


def toml(entries):
    """JSON's texts, numbers, booleans and lists are TOML's, but for a character or two."""
    lines = []
    for entry in entries:
        lines.append("[[ca]]")
        lines += [f"{json.dumps(key)} = {json.dumps(value)}" for key, value in entry.items()]
    return "\n".join(lines)


def unique(entries):
    return all(len({entry[field] for entry in entries}) == len(entries) for field in ("name", "directory_url"))


@given(st.lists(CAS, min_size=1, max_size=4).filter(unique))
def test_what_is_right_is_read_in_its_order(entries):
    found = read_list(toml(entries))
    assert [one.name for one in found] == [entry["name"] for entry in entries]
    assert [one.eab for one in found] == [entry.get("eab", False) for entry in entries]
    assert all(one.contact == "" or ":" in one.contact for one in found)


@given(st.lists(CAS, max_size=3), st.dictionaries(FIELDS, VALUES, max_size=3))
def test_what_is_nearly_right_is_read_or_refused_with_a_sentence(entries, change):
    read_or_refused(toml([*entries, {**(entries[0] if entries else {}), **change}]))


@given(st.text())
@example("[[ca]]\nname = 1e400")
@example("ca = [{}, 1]")
@example("[[ca]]\ndirectory_url = 'https://[v1.x]/'")
def test_any_text_is_read_or_refused_with_a_sentence(text):
    read_or_refused(text)


def read_or_refused(text):
    try:
        found = read_list(text)
    except ValueError as refused:
        assert str(refused)
        return
    assert 1 <= len(found) <= MOST
    assert unique([one.model_dump() for one in found])
