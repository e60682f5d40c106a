"""A hostname that a tenant wants to register, in normal form, or the problem with it."""

from __future__ import annotations

from api.instructions import Target
from api.problems import Problem
from core.hostname import HostnameError, HostnameRules, parse_hostname, registered_domain


class Names:
    """`target`: says whether wildcards can be proven to a CA here, which takes DNS-01."""

    def __init__(self, rules: HostnameRules, target: Target) -> None:
        self._rules = rules
        self._target = target

    @property
    def wildcards(self) -> bool:
        return self._target.acme_zone is not None

    def registered_domain(self, hostname: str) -> str:
        """The zone that most people have at their DNS provider: core.hostname.registered_domain."""
        return registered_domain(hostname, rules=self._rules)

    def parse(self, text: str, pointer: str) -> str:
        """`pointer`: where it stands in the body. Raises Problem."""
        try:
            hostname = parse_hostname(text, allow_wildcard=True, rules=self._rules)
        except HostnameError as error:
            raise Problem.of(error, pointer=pointer) from None
        if not self._target.challenges(hostname):
            if self._target.acme_zone is None:
                raise Problem("wildcard_unsupported", pointer=pointer)
            raise Problem("hostname_too_long", "The name of its DNS-01 challenge would be too long.", pointer=pointer)
        return hostname
