"""Loaded by schemathesis itself (see test_openapi.py): values of our formats, so that valid requests are accepted."""

from __future__ import annotations

from datetime import UTC

import schemathesis
from hypothesis import strategies as st

from api.overview.places import Place, encode_place
from api.pagination import encode_cursor, encode_entry_cursor
from api.service import Position

labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True).filter(lambda label: label[2:4] != "--")
names = st.lists(labels, min_size=1, max_size=3).map(lambda found: ".".join([*found, "example.com"]))
spellings = st.sampled_from([str, str.upper, str.title, lambda name: name + "."])
positions = st.builds(Position, st.datetimes(timezones=st.just(UTC)), st.uuids())

schemathesis.openapi.format("idn-hostname", st.builds(lambda spell, name: spell(name), spellings, names))
schemathesis.openapi.format("cursor", positions.map(encode_cursor))
schemathesis.openapi.format("entry-cursor", st.integers(0, 2**63 - 1).map(encode_entry_cursor))
places = st.builds(
    encode_place, st.builds(Place, st.tuples(names, st.uuids().map(str))), st.sampled_from(["all", "dead"])
)
schemathesis.openapi.format("place-cursor", places)
schemathesis.openapi.format("upstream-host", names | st.ip_addresses().map(str))
schemathesis.openapi.format("entity-tags", st.just("*") | st.from_regex(r'"[0-9a-f]{32}"', fullmatch=True))
