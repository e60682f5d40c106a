from __future__ import annotations

import pytest

from bench.envoys import DIRECT_RESPONSE, REQUEST_LANE, ROUTE, replaced, without_checks


def test_a_bare_envoy_has_the_operators_configuration_without_the_checks() -> None:
    text = REQUEST_LANE.read_text()
    bare = without_checks(text)
    assert "name: envoy.filters.http.ext_authz\n" not in bare
    removed = [line for line in text.splitlines() if line not in bare.splitlines()]
    assert removed[0].strip() == "- name: envoy.filters.http.ext_authz"
    assert "name: envoy.filters.http.header_mutation" in bare
    assert "name: envoy.filters.http.router" in bare


def test_a_configuration_that_has_changed_is_not_taken_for_changed_as_meant() -> None:
    with pytest.raises(ValueError, match="no ext_authz"):
        without_checks("static_resources: {}\n")
    with pytest.raises(ValueError, match="has no"):
        replaced("static_resources: {}\n", ROUTE, DIRECT_RESPONSE)
