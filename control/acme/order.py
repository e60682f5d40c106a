"""Orders, authorizations and challenges as the CA describes them (RFC 8555 section 7.1), read strictly.

This file does no I/O. `from_json` raises NotAcme, and nothing else, on anything that is not the object.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from control.acme.problems import Problem

HTTP_01 = "http-01"
DNS_01 = "dns-01"

ORDER_STATUSES = frozenset({"pending", "ready", "processing", "valid", "invalid"})
AUTHORIZATION_STATUSES = frozenset({"pending", "valid", "invalid", "deactivated", "expired", "revoked"})
CHALLENGE_STATUSES = frozenset({"pending", "processing", "valid", "invalid"})

# RFC 8555 section 8.3: at least 128 bits of entropy, base64url only; it becomes part of a path.
_TOKEN = re.compile(r"[A-Za-z0-9_-]{22,255}")


class NotAcme(ValueError):
    """The answer is not what RFC 8555 says it is."""


@dataclass(frozen=True, slots=True)
class Challenge:
    type: str
    url: str
    status: str
    token: str
    problem: Problem | None

    @classmethod
    def from_json(cls, fields: object) -> Challenge:
        known = _object(fields)
        return cls(
            type=_text(known, "type"),
            url=_text(known, "url"),
            status=_status(known, CHALLENGE_STATUSES),
            token=_token(known),
            problem=_problem(known),
        )


@dataclass(frozen=True, slots=True)
class Authorization:
    """`challenges`: those with a token; a type that works in another way is left out. `retry_after`: the CA's wish."""

    url: str
    status: str
    hostname: str
    challenges: tuple[Challenge, ...]
    expires: datetime | None
    retry_after: timedelta | None = None

    @classmethod
    def from_json(cls, fields: object, url: str, retry_after: timedelta | None = None) -> Authorization:
        known = _object(fields)
        return cls(
            url=url,
            status=_status(known, AUTHORIZATION_STATUSES),
            hostname=_hostname(known.get("identifier")),
            challenges=tuple(Challenge.from_json(one) for one in _list(known, "challenges") if _has_token(one)),
            expires=_date(known, "expires"),
            retry_after=retry_after,
        )

    def challenge(self, kind: str) -> Challenge | None:
        return next((one for one in self.challenges if one.type == kind), None)

    @property
    def problem(self) -> Problem | None:
        """Why it is invalid, if it says so."""
        return next((one.problem for one in self.challenges if one.problem is not None), None)


@dataclass(frozen=True, slots=True)
class Order:
    """`certificate`: where the chain is, once the order is valid. `replaces`: what the CA took it as a renewal of."""

    url: str
    status: str
    hostnames: frozenset[str]
    authorizations: tuple[str, ...]
    finalize: str
    certificate: str | None
    expires: datetime | None
    problem: Problem | None
    retry_after: timedelta | None = None
    replaces: str | None = None

    @classmethod
    def from_json(cls, fields: object, url: str, retry_after: timedelta | None = None) -> Order:
        known = _object(fields)
        return cls(
            url=url,
            status=_status(known, ORDER_STATUSES),
            hostnames=frozenset(_hostname(one) for one in _list(known, "identifiers")),
            authorizations=tuple(_is_text(one) for one in _list(known, "authorizations")),
            finalize=_text(known, "finalize"),
            certificate=_text(known, "certificate") if known.get("certificate") is not None else None,
            expires=_date(known, "expires"),
            problem=_problem(known),
            retry_after=retry_after,
            replaces=known["replaces"] if isinstance(known.get("replaces"), str) else None,
        )


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise NotAcme("not a JSON object")
    return value


def _is_text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise NotAcme("not a text")
    return value


def _text(fields: Mapping[str, Any], name: str) -> str:
    return _is_text(fields.get(name))


def _list(fields: Mapping[str, Any], name: str) -> list[object]:
    value = fields.get(name)
    if not isinstance(value, list):
        raise NotAcme(f"{name} is not a list")
    return value


def _status(fields: Mapping[str, Any], known: frozenset[str]) -> str:
    value = _text(fields, "status")
    if value not in known:
        raise NotAcme("an unknown status")
    return value


def _hostname(identifier: object) -> str:
    """Lower-case; an identifier of another type in a form that no hostname has."""
    fields = _object(identifier)
    kind, value = _text(fields, "type"), _text(fields, "value").lower()
    return value if kind == "dns" else f"{kind}:{value}"


def _has_token(challenge: object) -> bool:
    return isinstance(challenge, dict) and "token" in challenge


def _token(fields: Mapping[str, Any]) -> str:
    value = _text(fields, "token")
    if not _TOKEN.fullmatch(value):
        raise NotAcme("a token that is not base64url")
    return value


def _date(fields: Mapping[str, Any], name: str) -> datetime | None:
    """RFC 3339; a date without an offset is read as UTC."""
    value = fields.get(name)
    if value is None:
        return None
    try:
        date = datetime.fromisoformat(_is_text(value))
    except ValueError:
        raise NotAcme("not a date") from None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _problem(fields: Mapping[str, Any]) -> Problem | None:
    value = fields.get("error")
    return None if value is None else Problem.from_json(value)
