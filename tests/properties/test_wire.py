"""Our views of Envoy's messages agree with the full ones (envoy-data-plane), both ways, field by field.

Where a field of a view is bytes, Envoy's may be a string (a client may send any octets) or a message (encoded before);
where it is a list of bytes, Envoy's is a map, of which each is an entry.
"""

from __future__ import annotations

import dataclasses
import datetime
import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any

import betterproto2
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.wire import check_pb2, discovery_pb2, process_pb2, secret_pb2

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # theirs: validators in a form that pydantic gives up
    from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls
    from envoy_data_plane.envoy.service.auth import v3 as auth
    from envoy_data_plane.envoy.service.discovery import v3 as discovery
    from envoy_data_plane.envoy.service.ext_proc import v3 as ext_proc

VIEWS: Mapping[type[Message], type[betterproto2.Message]] = {
    check_pb2.CheckRequest: auth.CheckRequest,
    check_pb2.CheckResponse: auth.CheckResponse,
    process_pb2.ProcessingRequest: ext_proc.ProcessingRequest,
    process_pb2.ProcessingResponse: ext_proc.ProcessingResponse,
    discovery_pb2.DeltaDiscoveryRequest: discovery.DeltaDiscoveryRequest,
    discovery_pb2.DeltaDiscoveryResponse: discovery.DeltaDiscoveryResponse,
    discovery_pb2.DeltaOctets: discovery.DeltaDiscoveryRequest,
    discovery_pb2.DiscoveryRequest: discovery.DiscoveryRequest,
    discovery_pb2.Octets: discovery.DiscoveryRequest,
    discovery_pb2.DiscoveryResponse: discovery.DiscoveryResponse,
    secret_pb2.Secret: tls.Secret,
}

Entry = check_pb2.CheckRequest.HeaderEntry

# Envoy's deprecated fields are drawn too.
pytestmark = pytest.mark.filterwarnings("ignore:.* is deprecated:DeprecationWarning")

views = pytest.mark.parametrize(("ours", "theirs"), VIEWS.items(), ids=lambda message: message.__name__)


# No lone surrogates: they are no text on the wire.
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
int32 = st.integers(-(2**31), 2**31 - 1)
uint32 = st.integers(0, 2**32 - 1)
times = st.datetimes(datetime.datetime(1970, 1, 1), datetime.datetime(2200, 1, 1), timezones=st.just(datetime.UTC))

SCALARS: Mapping[str, st.SearchStrategy[Any]] = {
    "string": text,
    "bytes": st.binary(max_size=12),
    "bool": st.booleans(),
    "int32": int32,
    "uint32": uint32,
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint64": st.integers(0, 2**64 - 1),
    "double": st.floats(allow_nan=False),
    "float": st.floats(width=32, allow_nan=False),
}
# What betterproto shows as a value of Python's.
WRAPPED: Mapping[str, st.SearchStrategy[Any]] = {
    "Timestamp": times,
    "Duration": st.timedeltas(datetime.timedelta(0), datetime.timedelta(days=1000)),
    "BoolValue": st.booleans(),
    "UInt32Value": uint32,
    "UInt64Value": SCALARS["uint64"],
    "DoubleValue": SCALARS["double"],
    "StringValue": text,
}


# --- full messages, at random


@cache
def full(theirs: type[betterproto2.Message], view: Descriptor | None, depth: int = 1) -> st.SearchStrategy[Any]:
    """`view`: our part of it, which is drawn oftener; `depth`: of the rest."""
    fields, groups = {}, {}
    for field in dataclasses.fields(theirs):
        meta = betterproto2.FieldMetadata.get(field)
        seen = None if view is None else view.fields_by_number.get(meta.number)
        strategy = values(theirs, field.name, meta, seen, depth)
        if strategy is None:
            continue
        if meta.group is not None:  # a oneof
            groups.setdefault(meta.group, []).append(strategy.map(lambda value, name=field.name: {name: value}))
        elif seen is not None:
            fields[field.name] = strategy
        else:
            fields[field.name] = st.just(default(field)) | strategy
    return st.tuples(st.fixed_dictionaries(fields), *(st.just({}) | st.one_of(group) for group in groups.values())).map(
        lambda parts: theirs(**{name: value for part in parts for name, value in part.items()})
    )


def default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default is not dataclasses.MISSING else field.default_factory()  # type: ignore[misc]


def values(
    theirs: type[betterproto2.Message],
    name: str,
    meta: betterproto2.FieldMetadata,
    seen: FieldDescriptor | None,
    depth: int,
) -> st.SearchStrategy[Any] | None:
    if meta.map_meta is not None:
        item = one(theirs, f"{name}.value", meta.map_meta[1], entry(seen), depth)
        return None if item is None else st.dictionaries(text, item, max_size=2)
    item = one(theirs, name, meta, seen, depth)
    if item is None:
        return None
    if meta.repeated:
        return st.lists(item, max_size=2)
    return st.none() | item if meta.optional and meta.group is None else item


def entry(seen: FieldDescriptor | None) -> FieldDescriptor | None:
    return None if seen is None or seen.message_type is None else seen.message_type.fields_by_number[2]


def one(
    theirs: type[betterproto2.Message],
    name: str,
    meta: betterproto2.FieldMetadata,
    seen: FieldDescriptor | None,
    depth: int,
) -> st.SearchStrategy[Any] | None:
    """None: nothing of that kind, being too deep."""
    if meta.proto_type in SCALARS:
        return SCALARS[meta.proto_type]
    if meta.unwrap is not None:
        return WRAPPED[meta.unwrap().__name__]
    kind = theirs._betterproto.cls_by_field[name]
    if meta.proto_type == "enum":
        return st.sampled_from(list(kind))
    if seen is not None and seen.message_type is not None:
        return st.deferred(lambda: full(kind, seen.message_type, depth))
    if seen is not None:
        # Never empty, as in life: bytes that are empty are left out when they are written again.
        return full(kind, None, depth).filter(bytes)
    return full(kind, None, depth - 1) if depth > 0 else None


# --- messages of ours, at random


@cache
def view_of(ours: type[Message], theirs: type[betterproto2.Message]) -> st.SearchStrategy[Any]:
    fields, groups = {}, {}
    numbers = by_number(theirs)
    for ours_field in ours.DESCRIPTOR.fields:
        strategy = view_values(ours_field, theirs, numbers[ours_field.number].name)
        group = ours_field.containing_oneof
        if group is not None:
            groups.setdefault(group.name, []).append(
                strategy.map(lambda value, name=ours_field.name: {name: value})  # type: ignore[misc]
            )
        else:
            fields[ours_field.name] = strategy
    return st.tuples(
        st.fixed_dictionaries({}, optional=fields), *(st.just({}) | st.one_of(group) for group in groups.values())
    ).map(lambda parts: ours(**{name: value for part in parts for name, value in part.items()}))


def view_values(field: FieldDescriptor, theirs: type[betterproto2.Message], name: str) -> st.SearchStrategy[Any]:
    meta = betterproto2.FieldMetadata.get(next(each for each in dataclasses.fields(theirs) if each.name == name))
    if meta.map_meta is not None and field.message_type is None:
        return st.dictionaries(text, text, max_size=3).map(
            lambda headers: [Entry(key=key, value=value.encode()).SerializeToString() for key, value in headers.items()]
        )
    if meta.map_meta is not None:
        return st.dictionaries(text, view_one(entry(field), theirs, f"{name}.value", meta.map_meta[1]), max_size=3)
    item = view_one(field, theirs, name, meta)
    return st.lists(item, max_size=3) if meta.repeated else item


def view_one(
    field: FieldDescriptor | None, theirs: type[betterproto2.Message], name: str, meta: betterproto2.FieldMetadata
) -> st.SearchStrategy[Any]:
    assert field is not None
    if field.message_type is not None:
        return view_of(field.message_type._concrete_class, theirs._betterproto.cls_by_field[name])
    if field.type == FieldDescriptor.TYPE_BYTES and meta.proto_type == "string":
        return text.map(str.encode)
    if field.type == FieldDescriptor.TYPE_BYTES and meta.proto_type == "message":
        return full(theirs._betterproto.cls_by_field[name], None).map(bytes).filter(bool)
    if meta.proto_type == "enum":
        ours = field.enum_type.values_by_number if field.enum_type else theirs._betterproto.cls_by_field[name]
        return st.sampled_from([int(number) for number in ours])
    return SCALARS[meta.proto_type]


# --- the comparison


def by_number(theirs: type[betterproto2.Message]) -> dict[int, dataclasses.Field[Any]]:
    return {betterproto2.FieldMetadata.get(field).number: field for field in dataclasses.fields(theirs)}


def assert_agree(ours: Message, theirs: betterproto2.Message) -> None:
    """Each field that our view has holds the same in both."""
    for field in ours.DESCRIPTOR.fields:
        mine, other = getattr(ours, field.name), getattr(theirs, by_number(type(theirs))[field.number].name)
        if isinstance(other, dict) and field.message_type is None:
            entries = [Entry.FromString(raw) for raw in mine]
            assert {entry.key: entry.value.decode() for entry in entries} == other
        elif isinstance(other, dict):
            assert mine.keys() == other.keys()
            for key, value in other.items():
                assert_same(entry(field), mine[key], value)
        elif isinstance(other, list):
            assert len(mine) == len(other)
            for left, right in zip(mine, other, strict=True):
                assert_same(field, left, right)
        elif other is None:
            assert not ours.HasField(field.name) if field.has_presence else mine == field.default_value
        else:
            assert not field.has_presence or ours.HasField(field.name)
            assert_same(field, mine, other)


def assert_same(field: FieldDescriptor | None, mine: Any, other: Any) -> None:
    assert field is not None
    if field.message_type is not None:
        assert_agree(mine, other)
    elif isinstance(other, betterproto2.Message):
        assert type(other).parse(mine) == other
    elif isinstance(mine, bytes) and isinstance(other, str):
        assert mine.decode() == other
    else:
        assert mine == other


@views
@settings(max_examples=25)
@given(data=st.data())
def test_what_envoy_writes_is_read_the_same_in_our_view(
    ours: type[Message], theirs: type[betterproto2.Message], data: st.DataObject
) -> None:
    written = data.draw(full(theirs, ours.DESCRIPTOR))
    read = ours.FromString(bytes(written))
    assert_agree(read, written)
    assert theirs.parse(read.SerializeToString()) == theirs.parse(bytes(written)), "nor is anything lost on the way"


@views
@settings(max_examples=25)
@given(data=st.data())
def test_what_we_write_is_read_the_same_by_envoy(
    ours: type[Message], theirs: type[betterproto2.Message], data: st.DataObject
) -> None:
    written = data.draw(view_of(ours, theirs))
    assert_agree(written, theirs.parse(written.SerializeToString()))


@given(st.binary(max_size=60))
def test_whatever_is_no_message_is_a_decode_error_and_nothing_else(data: bytes) -> None:
    for ours in VIEWS:
        try:
            ours.FromString(data)
        except DecodeError:
            continue


@views
def test_a_wrong_field_number_would_be_seen(ours: type[Message], theirs: type[betterproto2.Message]) -> None:
    """The comparison finds each field of the view in the full message, and by the same name."""
    pending = [(ours.DESCRIPTOR, theirs)]
    while pending:
        descriptor, kind = pending.pop()
        for field in descriptor.fields:
            name = by_number(kind)[field.number].name
            assert name == field.name
            inner = entry(field) if field.message_type and field.message_type.GetOptions().map_entry else field
            if inner is not None and inner.message_type is not None:
                key = f"{name}.value" if inner is not field else name
                pending.append((inner.message_type, kind._betterproto.cls_by_field[key]))
