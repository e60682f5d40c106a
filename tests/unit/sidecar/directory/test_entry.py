from __future__ import annotations

import gc
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.directory.entry import FIELDS, Entry, PlatformDomain, unpack, wildcard_of

PLATFORM = PlatformDomain("platform.test")
TENANT, OTHER = (f"7b0f2a52-6a9c-4f0c-9a51-00000000000{n}" for n in range(2))
DOMAIN = "d0000000-0000-0000-0000-000000000001"
SHOP = Entry("shop.example.com", TENANT, DOMAIN, True, "ab" * 32, 3, 2e9, platform=False)
ACME = Entry("acme.platform.test", TENANT, "", True, None, None, None, platform=True)


def but(entry: Entry, **fields: Any) -> Entry:
    return Entry(**({name: getattr(entry, name) for name in FIELDS} | fields))


@given(
    hostname=st.text("abz09-.*", min_size=1, max_size=253),
    tenant_id=st.uuids().map(str),
    domain_id=st.uuids().map(str),
    live=st.booleans(),
    fingerprint=st.none() | st.binary(min_size=32, max_size=32).map(bytes.hex),
    vault_version=st.none() | st.integers(1, 2**31 - 1),
    not_after=st.none() | st.floats(allow_nan=False),
    platform=st.booleans(),
    uploaded=st.booleans(),
    client_auth=st.booleans(),
)
def test_what_goes_into_an_entry_comes_out(**fields: Any) -> None:
    if fields["platform"]:
        fields["domain_id"] = ""
        fields["client_auth"] = False
    if fields["fingerprint"] is None:
        fields["vault_version"] = fields["not_after"] = None
        fields["uploaded"] = False
    entry = Entry(**fields)
    assert {name: getattr(entry, name) for name in FIELDS} == fields
    assert unpack(bytes(entry)) == entry
    assert hash(unpack(bytes(entry))) == hash(entry)
    assert all(f"{name}={value!r}" in repr(entry) for name, value in fields.items())


@pytest.mark.parametrize(
    "wrong",
    [
        {"tenant_id": "tenant"},
        {"domain_id": ""},
        {"domain_id": "domain"},
        {"fingerprint": "ab"},
        {"fingerprint": "xy" * 32},
        {"hostname": "bücher.example"},
        {"platform": True},
        {"fingerprint": None, "uploaded": True},
        {"domain_id": "", "platform": True, "client_auth": True},
    ],
)
def test_an_entry_of_anything_else_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        but(SHOP, **wrong)


@pytest.mark.parametrize(
    "different",
    [
        {"hostname": "shop.example.org"},
        {"tenant_id": OTHER},
        {"domain_id": OTHER},
        {"live": False},
        {"fingerprint": "cd" * 32},
        {"fingerprint": None},
        {"vault_version": 4},
        {"not_after": 2e9 + 1},
    ],
)
def test_entries_are_equal_when_every_field_is(different: dict[str, Any]) -> None:
    assert but(SHOP) == SHOP
    assert but(SHOP, **different) != SHOP


def test_a_row_with_its_certificate_takes_a_third_of_what_its_fields_would() -> None:
    fields = sum(sys.getsizeof(getattr(SHOP, name)) for name in FIELDS if name not in {"live", "platform"})
    assert sys.getsizeof(SHOP) * 3 <= fields + 8 * len(FIELDS)
    assert not gc.get_referents(SHOP)[1:], "it refers to nothing but its class"


@pytest.mark.parametrize(
    ("now", "ended"),
    [
        (None, True),
        (but(SHOP, live=False), True),
        (but(SHOP, domain_id=OTHER), True),
        (but(SHOP, tenant_id=OTHER), True),
        (but(SHOP, client_auth=True), True),
        (but(SHOP, fingerprint="cd" * 32, vault_version=4), False),
        (SHOP, False),
    ],
)
def test_a_registration_ends_when_it_is_not_live_or_another_has_its_name(now: Entry | None, ended: bool) -> None:
    assert SHOP.ended(now) is ended
    assert not but(SHOP, client_auth=True).ended(SHOP), "it asks for less"
    assert not but(SHOP, live=False).ended(now), "what was not live has not ended"


def test_a_registration_is_the_domain_or_the_tenant_of_a_platform_subdomain() -> None:
    assert SHOP.registration == DOMAIN
    assert ACME.registration == TENANT


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
