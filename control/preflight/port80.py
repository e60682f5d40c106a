"""Check 5: our token is found on port 80 at each address of the name, of which the CA may choose any."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set
from typing import Any

from control.preflight.codes import Code
from control.preflight.probe import Probe, Result
from control.preflight.questions import Address
from control.preflight.report import Check, check

NAME = "port80"
MOST = 4  # addresses of each family that are tried

# The most telling first. `own`: at an address of the platform, where the tenant can mend nothing.
STRANGE: Mapping[Result, Code] = {
    "wrong_answer": Code.PORT80_WRONG_ANSWER,
    "redirected": Code.PORT80_REDIRECTED,
    "unreachable": Code.PORT80_UNREACHABLE,
    "forbidden": Code.PORT80_ADDRESS_FORBIDDEN,
}
OWN: Mapping[Result, Code] = {
    "wrong_answer": Code.PORT80_PLATFORM_WRONG_ANSWER,
    "redirected": Code.PORT80_PLATFORM_WRONG_ANSWER,
    "unreachable": Code.PORT80_PLATFORM_UNREACHABLE,
}


def chosen(addresses: Collection[Address]) -> Sequence[Address]:
    """Those that are tried: the first of each family, IPv6 before IPv4 as CAs do."""
    ordered = sorted(addresses, key=int)
    return [one for version in (6, 4) for one in [a for a in ordered if a.version == version][:MOST]]


def examine(hostname: str, probes: Sequence[Probe], own: Collection[Address], *, harmless: bool = False) -> Check:
    """`own`: the platform's addresses."""
    code, address = decide(probes, own)
    found: dict[str, Any] = {str(one.address): one.to_json() for one in probes}
    expected = {"status": 200, "body": "the token's key authorization"}
    return check(NAME, code, expected, found, harmless=harmless, hostname=hostname, address=address)


def behind(probes: Sequence[Probe], there: Set[Address], own: Set[Address]) -> Set[Address]:
    """Those of the name's addresses behind which the platform answers.

    Where it answers behind a stranger's address there is a proxy, whose other addresses need not all be tried.
    """
    answered = {one.address for one in probes if one.result == "answered"}
    if answered <= own:
        return answered
    return there - {one.address for one in probes if one.result not in {"answered", "untried"}}


def decide(probes: Sequence[Probe], own: Collection[Address]) -> tuple[Code, Address | None]:
    probes = [one for one in probes if one.result != "untried"]
    if not probes:
        return Code.PORT80_UNTRIED, None
    for table, at_home in ((STRANGE, False), (OWN, True)):
        for result, code in table.items():
            for one in probes:
                if one.result == result and (one.address in own) == at_home:
                    return code, one.address
    return Code.PORT80_ANSWERS, None
