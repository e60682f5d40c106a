"""Conditional requests (RFC 9110 section 13): a change that is made only if the thing is as its caller knows it.

`If-Match: "tag"` — only what was seen is replaced or removed; `If-None-Match: *` — only something new is made.
Without either, the last one to write wins.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from starlette.requests import Request

from api.service import DomainsError

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_LIST = re.compile(rf"[ \t]*(?:{_TAG}(?:[ \t]*,[ \t]*)?)+")
_EACH = re.compile(_TAG)


class PreconditionFailed(DomainsError):
    def __init__(self) -> None:
        super().__init__("precondition_failed", "It is not as the request's conditions say.")


@dataclass(frozen=True, slots=True)
class Condition:
    """`matches`, `none_matches`: entity tags, with their quotes; ("*",) for any; None: no such condition."""

    matches: tuple[str, ...] | None = None
    none_matches: tuple[str, ...] | None = None

    @classmethod
    def of(cls, request: Request) -> Condition:
        """Raises PreconditionFailed for a condition that cannot be read: nothing is known to hold."""
        return cls(*(_tags(request.headers.getlist(name)) for name in ("if-match", "if-none-match")))

    def check(self, tag: str | None) -> None:
        """`tag`: of what there is; None: there is nothing. Raises PreconditionFailed."""
        if self.matches is not None and (tag is None or (self.matches != ("*",) and tag not in self.matches)):
            raise PreconditionFailed
        weak = () if self.none_matches is None else tuple(each.removeprefix("W/") for each in self.none_matches)
        if tag is not None and (weak == ("*",) or tag in weak):
            raise PreconditionFailed

    def check_untagged(self) -> None:
        """For what has no entity tag: no list of them can hold. Raises PreconditionFailed."""
        if self.matches not in (None, ("*",)):
            raise PreconditionFailed


ALWAYS = Condition()


def entity_tag(*parts: str) -> str:
    """A strong one: the same for the same parts only."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode())
    return f'"{digest.hexdigest()[:32]}"'


def _tags(lines: list[str]) -> tuple[str, ...] | None:
    if not lines:
        return None
    value = ",".join(lines).strip(" \t")
    if value == "*":
        return ("*",)
    if _LIST.fullmatch(value) is None:
        raise PreconditionFailed
    return tuple(_EACH.findall(value))
