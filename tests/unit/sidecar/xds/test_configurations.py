"""The table of what streams give out."""

from __future__ import annotations

import pytest

from sidecar.certs.secrets import SECRET_TYPE
from sidecar.wire.discovery_pb2 import Any
from sidecar.xds.configurations import ConfigurationTable, Encoded
from sidecar.xds.ended import FILTER_TYPE
from sidecar.xds.types import CLUSTER, EXTENSION, LISTENER, NAMES, ORDER, SECRET


@pytest.fixture
def told():
    return []


@pytest.fixture
def table(told):
    made = ConfigurationTable()
    made.on_change = lambda changed: told.append({type_url: sorted(names) for type_url, names in changed.items()})
    return made


def one(version: str) -> Encoded:
    return Encoded(version, version.encode())


def test_equal_messages_have_equal_versions_and_the_resource_is_an_any():
    first, again, other = (Encoded.of(CLUSTER, message) for message in (b"x", b"x", b"y"))
    assert first == again
    assert first.version != other.version
    assert Any.FromString(first.resource) == Any(type_url=CLUSTER, value=b"x")
    assert b"x" not in repr(first).encode().replace(b"Any", b"")


def test_what_is_not_known_is_none_and_what_is_empty_is_empty(table, told):
    assert table.resources(CLUSTER) is None
    table.replace({CLUSTER: {}})
    assert table.resources(CLUSTER) == {}
    assert told == [{CLUSTER: []}]


def test_only_what_has_changed_is_told_all_types_at_once(table, told):
    table.replace({CLUSTER: {"a": one("1"), "b": one("1"), "c": one("1")}, LISTENER: {"l": one("1")}})
    told.clear()
    table.replace({CLUSTER: {"a": one("2"), "b": one("1"), "d": one("1")}, LISTENER: {"l": one("1")}})
    assert told == [{CLUSTER: ["a", "c", "d"], LISTENER: []}]
    assert table.resources(CLUSTER) == {"a": one("2"), "b": one("1"), "d": one("1")}


def test_types_that_are_not_named_stay(table, told):
    table.replace({CLUSTER: {"a": one("1")}})
    table.replace({LISTENER: {"l": one("1")}})
    assert table.resources(CLUSTER) == {"a": one("1")}
    assert told[-1] == {LISTENER: ["l"]}


def test_the_version_is_of_the_set_however_it_came_about(table):
    table.replace({CLUSTER: {"a": one("1"), "b": one("2")}})
    version = table.version(CLUSTER)
    table.replace({CLUSTER: {"b": one("1"), "a": one("2"), "c": one("1")}})
    assert table.version(CLUSTER) != version
    table.replace({CLUSTER: {}})
    assert table.version(CLUSTER) == ConfigurationTable().version(CLUSTER)
    table.replace({CLUSTER: {"b": one("2"), "a": one("1")}})
    assert table.version(CLUSTER) == version


def test_a_version_that_is_said_counts(table):
    table.replace({CLUSTER: {"a": one("1")}}, {CLUSTER: "7"})
    assert table.version(CLUSTER) == "7"


def test_holding_ends_with_the_next_set(table):
    table.hold()
    assert table.held
    table.replace({})
    assert not table.held


def test_a_set_that_is_read_cannot_be_changed(table):
    table.replace({CLUSTER: {"a": one("1")}})
    with pytest.raises(TypeError):
        table.resources(CLUSTER)["a"] = one("2")


def test_types_are_named_once():
    assert (SECRET, EXTENSION) == (SECRET_TYPE, FILTER_TYPE)
    assert set(NAMES) == set(ORDER)
