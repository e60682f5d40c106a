from __future__ import annotations

import pytest

from sidecar.directory.entry import PlatformDomain, wildcard_of

PLATFORM = PlatformDomain("platform.test")


def test_a_wildcard_stands_for_one_label() -> None:
    assert wildcard_of("shop.example.com") == "*.example.com"
    assert wildcard_of("a.shop.example.com") == "*.shop.example.com"


def test_a_hosts_own_row_comes_before_its_wildcard() -> None:
    assert PLATFORM.keys("shop.example.com") == ("shop.example.com", "*.example.com")


def test_one_label_below_the_platform_is_a_slug() -> None:
    assert PLATFORM.slug("acme.platform.test") == "acme"
    assert PLATFORM.keys("acme.platform.test") == ("acme.platform.test",)
    assert PLATFORM.subdomain("acme") == "acme.platform.test"


@pytest.mark.parametrize("host", ["platform.test", "a.b.platform.test", "*.platform.test"])
def test_no_row_may_answer_for_other_names_of_the_platform(host: str) -> None:
    assert PLATFORM.owns(host)
    assert PLATFORM.keys(host) == ()


@pytest.mark.parametrize("host", ["notplatform.test", "platform.test.example", "shop.example.com"])
def test_a_name_that_only_looks_alike_is_not_the_platforms(host: str) -> None:
    assert not PLATFORM.owns(host)
    assert PLATFORM.slug(host) is None
