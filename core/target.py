"""Where custom hostnames lead: each tenant has a CNAME target of its own, below the platform's.

A record that was left behind when its tenant went leads to a target that is nobody else's, so it proves nothing for
another tenant. Pure; names are in the normal form of hostnames.
"""

from __future__ import annotations

from collections.abc import Sequence

# `t-` and 20 hexadecimal digits, as control/db/migrations/0014_ownership.sql makes them, and a dot.
MAX_TARGET_LENGTH = 253 - 23


def tenant_target(label: str, platform_target: str) -> str:
    """The CNAME target of one tenant: `t-….custom.platform.io`."""
    return f"{label}.{platform_target}"


def foreign_target(chain: Sequence[str], own: str, platform_target: str) -> str | None:
    """The other tenant's target that a CNAME chain leads to, if there is one and it does not pass the own one.

    `chain`: in order. Targets may be CNAMEs to the platform's, and that one to any name, so the first of them counts.
    """
    if own in chain:
        return None
    first = next((link for link in chain if f".{link}".endswith(f".{platform_target}")), platform_target)
    return None if first == platform_target else first
