"""What somebody asks of the operator's lists, read from a query: the same for the REST API and the pages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import get_args
from uuid import UUID

from api.catalogue import Who
from api.identifiers import parse_uuid
from api.overview.audit import AuditWanted
from api.overview.domains import View, Wanted
from api.problems import Problem
from api.query import NO_CONTROL, VISIBLE, parse_choice, parse_count, parse_text
from api.service import SSL_STATUSES, STATUSES

WHO: tuple[str, ...] = get_args(Who)
DAYS, MOST_DAYS = 30, 398  # no CA's certificate lives longer than 398 days
LONGEST_TEXT = 253
LONGEST_ACTOR = 300
ANY = "any"

DOMAIN_PARAMETERS = ("q", "status", "sslStatus", "tenant", "failing", "who", "paused", "expiring", "late")
AUDIT_PARAMETERS = ("hostname", "tenant", "actor", "action", "since", "until")
# Each of these chooses a list with an order of its own; two of them would be a third list.
VIEWS: Mapping[str, View] = {
    "q": "search",
    "status": "status",
    "tenant": "tenant",
    "failing": "failing",
    "paused": "paused",
    "expiring": "expiring",
    "late": "late",
}
FIRST, LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
WORD = re.compile(r"[a-z][a-z0-9_]{0,63}")
_ADDITIONS = {"sslStatus": "status", "who": "failing"}


def domains_wanted(given: Mapping[str, str]) -> Wanted:
    """`given`: of DOMAIN_PARAMETERS. Raises Problem."""
    chosen = [name for name in VIEWS if name in given]
    if len(chosen) > 1:
        raise Problem("filters_conflict", f"{chosen[0]} and {chosen[1]} do not go together.", parameter=chosen[1])
    for name, of in _ADDITIONS.items():
        if name in given and of not in given:
            raise Problem("filters_conflict", f"{name} goes with {of}.", parameter=name)
    for name in ("paused", "late"):
        parse_choice(given, name, ("true",))
    code = given.get("failing")
    if code is not None and WORD.fullmatch(code) is None:
        raise Problem("invalid_parameter", f"failing is a code, or {ANY}.", parameter="failing")
    return Wanted(
        view=VIEWS[chosen[0]] if chosen else "all",
        text=None if "q" not in given else parse_text(given, "q", LONGEST_TEXT, VISIBLE).lower(),
        status=parse_choice(given, "status", STATUSES),
        ssl_status=parse_choice(given, "sslStatus", SSL_STATUSES),
        tenant_id=_uuid(given, "tenant"),
        code=None if code == ANY else code,
        who=parse_choice(given, "who", WHO),
        days=parse_count(given, "expiring", DAYS, MOST_DAYS),
    )


def audit_wanted(given: Mapping[str, str]) -> AuditWanted:
    """`given`: of AUDIT_PARAMETERS. Raises Problem."""
    action = given.get("action")
    if action is not None and WORD.fullmatch(action) is None:
        raise Problem("invalid_parameter", "action is a word of the audit, as ssl_issue.", parameter="action")
    return AuditWanted(
        hostname=None if "hostname" not in given else parse_text(given, "hostname", LONGEST_TEXT, VISIBLE).lower(),
        tenant_id=_uuid(given, "tenant"),
        actor=None if "actor" not in given else parse_text(given, "actor", LONGEST_ACTOR, NO_CONTROL),
        action=action,
        since=_moment(given, "since"),
        until=_moment(given, "until"),
    )


def _uuid(given: Mapping[str, str], name: str) -> UUID | None:
    value = given.get(name)
    if value is None:
        return None
    found = parse_uuid(value)
    if found is None:
        raise Problem("invalid_parameter", f"{name} is a UUID.", parameter=name)
    return found


def _moment(given: Mapping[str, str], name: str) -> datetime | None:
    """RFC 3339; a day alone, or a time without an offset, is of UTC. What lies beyond all rows is their end."""
    value = given.get(name)
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value.upper())
    except ValueError:
        raise Problem("invalid_parameter", f"{name} is a time, as 2026-04-22T02:00:00Z.", parameter=name) from None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return min(max(moment, FIRST), LAST)
