"""The list of ended registrations: when it is whole, how long it remembers, and what Envoy reads in it."""

from __future__ import annotations

import warnings
from uuid import UUID

from sidecar.wire.discovery_pb2 import Any
from sidecar.xds.ended import FILTER_NAME, FILTER_TYPE, KEPT, LIMIT, EndedRegistrations, encode

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pydantic's, about the package's own code
    from envoy_data_plane.envoy.config.core import v3 as core
    from envoy_data_plane.envoy.extensions.filters.http.composite import v3 as composite
    from envoy_data_plane.envoy.extensions.filters.http.set_metadata import v3 as set_metadata
    from envoy_data_plane.envoy.extensions.matching.common_inputs.network import v3 as inputs

ONE, TWO = str(UUID(int=1)), str(UUID(int=2))


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def listed(ended: EndedRegistrations) -> int | None:
    config = ended.config()
    return None if config is None else config.length


def test_there_is_no_list_before_the_directory_has_said_what_ended_lately():
    ended = EndedRegistrations(Clock())
    assert ended.config() is None
    ended.add({})
    assert listed(ended) == 0


def test_a_registration_leaves_the_list_when_no_connection_of_its_can_be_left():
    clock = Clock()
    ended = EndedRegistrations(clock)
    ended.add({ONE: 0.0})
    clock.now += KEPT - 1
    ended.add({TWO: 0.0})
    assert listed(ended) == 2
    clock.now += 1
    assert listed(ended) == 1
    clock.now += KEPT
    assert listed(ended) == 0


def test_a_registration_that_ends_again_is_kept_from_its_last_end():
    clock = Clock()
    ended = EndedRegistrations(clock)
    ended.add({ONE: 0.0})
    ended.add({TWO: 0.0})
    clock.now += KEPT - 1
    ended.add({ONE: 0.0})
    clock.now += 1
    assert listed(ended) == 1
    assert ONE.encode() in ended.config().resource


def test_when_there_are_too_many_there_is_no_list_until_the_last_of_them_is_of_no_matter():
    clock = Clock()
    ended = EndedRegistrations(clock)
    ended.add({str(UUID(int=n)): 0.0 for n in range(LIMIT)})
    assert listed(ended) == LIMIT
    ended.add({str(UUID(int=LIMIT)): 0.0})
    assert ended.config() is None
    assert len(ended) == 0
    clock.now += KEPT - 1
    ended.add({ONE: 0.0})
    assert ended.config() is None
    clock.now += 1
    assert listed(ended) == 1


def test_who_sends_the_list_is_told_of_every_change():
    told: list[int] = []
    ended = EndedRegistrations(Clock())
    ended.on_change = lambda: told.append(len(ended))
    ended.add({})
    ended.add({ONE: 0.0})
    assert told == [0, 1]


def test_equal_lists_are_equal_whatever_the_order_and_others_are_not():
    first, second = EndedRegistrations(Clock()), EndedRegistrations(Clock())
    first.add({ONE: 0.0, TWO: 1.0})
    second.add({TWO: 5.0})
    assert first.config().version != second.config().version
    second.add({ONE: 7.0})
    assert first.config() == second.config()


def test_envoy_s_own_messages_read_it_as_it_is_meant():
    resource = Any.FromString(encode([ONE, TWO]).resource)
    assert resource.type_url == FILTER_TYPE
    extension = core.TypedExtensionConfig.parse(resource.value)
    assert extension.name == FILTER_NAME
    assert extension.typed_config.type_url.endswith("/envoy.extensions.filters.http.composite.v3.Composite")
    read = composite.Composite.parse(extension.typed_config.value)
    ((name, chain),) = read.named_filter_chains.items()
    (mark,) = chain.typed_config
    (metadata,) = set_metadata.Config.parse(mark.typed_config.value).metadata
    assert metadata.metadata_namespace == "nameplate"
    assert {key: value.string_value for key, value in metadata.value.fields.items()} == {"ask": "yes"}
    tree = read.matcher.matcher_tree
    assert inputs.FilterStateInput.parse(tree.input.typed_config.value).key == "nameplate.domain"
    assert sorted(tree.exact_match_map.map) == [ONE, TWO]
    for on_match in tree.exact_match_map.map.values():
        action = composite.ExecuteFilterAction.parse(on_match.action.typed_config.value)
        assert action.filter_chain_name == name
    assert read.matcher.on_no_match is None


def test_an_empty_list_matches_nothing():
    extension = core.TypedExtensionConfig.parse(Any.FromString(encode([]).resource).value)
    assert composite.Composite.parse(extension.typed_config.value).matcher is None
