from __future__ import annotations

from core.target import MAX_TARGET_LENGTH, foreign_target, tenant_target

LABEL, OTHER, PLATFORM = "t-0123456789abcdef0123", "t-ffffffffffffffffffff", "custom.platform.io"
OWN, FOREIGN = tenant_target(LABEL, PLATFORM), tenant_target(OTHER, PLATFORM)


def test_a_tenants_target_is_a_label_below_the_platforms() -> None:
    assert OWN == "t-0123456789abcdef0123.custom.platform.io"
    assert len(tenant_target(LABEL, "a" * MAX_TARGET_LENGTH)) == 253


def test_a_chain_to_another_tenants_target_is_foreign() -> None:
    assert foreign_target(["edge.example", FOREIGN], OWN, PLATFORM) == FOREIGN
    assert foreign_target([FOREIGN, OWN], OWN, PLATFORM) is None
    assert foreign_target([FOREIGN, PLATFORM], OWN, PLATFORM) == FOREIGN, "tenants' targets may be CNAMEs themselves"
    assert foreign_target([PLATFORM, f"eu.{PLATFORM}"], OWN, PLATFORM) is None, "the platform's own affair"
    for chain in ([], [OWN], [PLATFORM], ["custom.platform.io.example"], ["xcustom.platform.io"]):
        assert foreign_target(chain, OWN, PLATFORM) is None
