"""What happened to a domain, in words: a line for each entry of its audit. Pure.

An action that has no words here is told by its own name, so that a newer control's entries are never left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from api.service import Entry
from api.ui.explained import EXPLAINED
from api.ui.moments import date_in_words

Tone = Literal["good", "wait", "bad", "idle"]

# action → what happened, and its colour. A tenant's own doings stand in TENANTS as well, in the words for those.
LINES: Mapping[str, tuple[str, Tone]] = {
    "add": ("The domain was added", "idle"),
    "dns_check": ("Its DNS records were seen", "wait"),
    "verify": ("The name was proven", "good"),
    "activate": ("It went live", "good"),
    "verify_failed": ("Its DNS records were not there in time", "bad"),
    "ssl_failed": ("Trying for a certificate was given up", "bad"),
    "retry": ("It was started again", "wait"),
    "move_away": ("Its DNS leads elsewhere", "bad"),
    "come_back": ("Its DNS leads here again", "good"),
    "transfer": ("The name came over from another account", "idle"),
    "delete": ("The domain was deleted", "idle"),
    "verify_request": ("A look at the DNS was asked for", "idle"),
    "renew_request": ("A renewal was asked for", "idle"),
    "pause": ("It was paused", "idle"),
    "pause_expiring": ("Its certificate ends soon, while it is paused", "bad"),
    "resume": ("It was resumed", "wait"),
    "ssl_order": ("A certificate was ordered", "wait"),
    "ssl_issue": ("Its certificate was issued", "good"),
    "ssl_renew": ("Its certificate was renewed", "good"),
    "ssl_expiring": ("Its renewal began", "wait"),
    "ssl_error": ("A certificate could not be issued", "bad"),
    "ssl_preflight": ("A certificate would have failed, so none was ordered", "bad"),
    "ssl_pause": ("Its certificate was paused after too many failures", "bad"),
    "ssl_resume": ("Its certificate is tried for again", "wait"),
    "ssl_revoke": ("Its certificate was revoked", "idle"),
    "upload": ("A certificate was uploaded", "good"),
    "upload_replace": ("Another certificate was uploaded", "good"),
    "upload_expiring": ("The uploaded certificate ends soon", "bad"),
    "upload_expire": ("The uploaded certificate came to its end", "bad"),
    "upload_withdraw": ("The uploaded certificate was withdrawn", "idle"),
    "client_auth_set": ("Client certificates were set", "idle"),
    "client_auth_remove": ("Client certificates are not asked for any more", "idle"),
    "client_ca_ending": ("An authority of client certificates ends soon", "bad"),
    "client_crl_ending": ("A revocation list of client certificates ends soon", "bad"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """`by`: who did it, or ''. `more`: facts, in words, or ''. `times`: how often in a row; `at`: the newest."""

    id: int
    at: datetime
    text: str
    tone: Tone
    by: str
    more: str
    times: int = 1


def timeline(entries: Iterable[Entry]) -> Sequence[Line]:
    """Newest first, as the entries come; the same again and again is one line."""
    lines: list[Line] = []
    for entry in entries:
        one = line(entry)
        if lines and (lines[-1].text, lines[-1].by, lines[-1].more) == (one.text, one.by, one.more):
            lines[-1] = replace(lines[-1], times=lines[-1].times + 1)
        else:
            lines.append(one)
    return lines


def line(entry: Entry) -> Line:
    words, tone = LINES.get(entry.action, (plain(entry.action), "idle"))
    detail = entry.detail if isinstance(entry.detail, Mapping) else {}
    if entry.action == "transfer" and detail.get("side") == "holder":
        words = "The name went over to another account"
    return Line(entry.id, entry.at, words, tone, by(entry.actor), more(detail))


def by(actor: str) -> str:
    """Which of the tenant's people; of the platform's own nothing is told."""
    return actor.removeprefix("tenant:") if actor.startswith("tenant:") else ""


def plain(name: str) -> str:
    return name.replace("_", " ").strip().capitalize() or "Something was changed"


def more(detail: Mapping[str, Any]) -> str:
    """The facts that mean something to a tenant, as sentences."""
    parts = [told for key, tell in FACTS.items() if (told := tell(detail.get(key)))]
    return " ".join(parts)


def _by(value: Any) -> str:
    return {"txt": "By its TXT record.", "cname": "By its CNAME record."}.get(str(value), "")


def _issuer(value: Any) -> str:
    return f"Issued by {value}." if isinstance(value, str) and value else ""


def _until(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return ""
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return f"Valid until {date_in_words(at)}."


def _finding(value: Any) -> str:
    """What was seen then, without what was to be done about it."""
    told = EXPLAINED.get(value) if isinstance(value, str) else None
    return f"{told.partition('. ')[0].removesuffix('.')}." if told else ""


def _sidecars(value: Any) -> str:
    if not isinstance(value, Mapping):
        return ""
    have, live = value.get("have"), value.get("live")
    if not isinstance(have, int) or not isinstance(live, int) or live < 1:
        return ""
    return f"On {have} of {live} edge{'s' if live > 1 else ''}."


FACTS: Mapping[str, Any] = {
    "by": _by,
    "issuer": _issuer,
    "not_after": _until,
    "finding": _finding,
    "sidecars": _sidecars,
}
