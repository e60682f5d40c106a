"""Check 4: `_acme-challenge.<name>` leads to where the platform writes the CA's TXT record (control.dns.delegation).

Needed for dns-01 only; otherwise it is said for whoever prepares a change.
"""

from __future__ import annotations

from control.preflight.codes import Code
from control.preflight.report import Check, check
from core.delegation import challenge_name
from core.domain import Finding

NAME = "delegation"
FOUND = "delegation_found"
# Trouble of the platform's own resolvers says nothing of the name: the CA has others.
INCONCLUSIVE = frozenset({"dns_refused", "dns_timeout", "dns_unreachable", "dns_malformed"})


def examine(hostname: str, look: Finding | None, *, harmless: bool = False) -> Check:
    """`look`: what was found; None: it took too long."""
    name = challenge_name(hostname)
    if look is None:
        return check(NAME, Code.DELEGATION_UNKNOWN, {"name": name}, {}, name=name)
    ok = look.code == FOUND
    return Check(
        name=NAME,
        code=look.code,
        ok=ok,
        blocking=not (ok or harmless or look.code in INCONCLUSIVE),
        who=look.who,
        message=look.message,
        expected={"name": name, "cname": look.detail.get("expected")},
        found={kind: value for kind, value in look.detail.items() if kind in {"found", "resolvers"}},
    )
