"""Where the CA looks for a DNS-01 challenge, and where the tenant's one CNAME leads it (RFC 8555 section 8.4).

A wildcard is validated at its parent, so it shares both names with it. Names are without a final dot.
"""

from __future__ import annotations

CHALLENGE_LABEL = "_acme-challenge"
MAX_NAME = 253  # characters of a name without its final dot (RFC 1035 section 2.3.4)
LABEL_LENGTH = 32  # of `acme_label`: control/db/migrations/0012_delegation.sql makes it
LONGEST_ZONE = MAX_NAME - LABEL_LENGTH - 1


def challenge_name(hostname: str) -> str:
    """`_acme-challenge.<host>`: where the tenant places the CNAME."""
    return f"{CHALLENGE_LABEL}.{hostname.removeprefix('*.')}"


def has_room(hostname: str) -> bool:
    """Whether the challenge's label fits before the hostname: a very long one cannot be proven by DNS-01."""
    return len(challenge_name(hostname)) <= MAX_NAME


def delegated_name(label: str, zone: str) -> str:
    """`<label>.<zone>`, which the CNAME leads to: the domain's `acme_label`, and NAMEPLATE_ACME_DNS_ZONE."""
    return f"{label}.{zone}"
