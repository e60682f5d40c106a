"""Where a domain stands, in one plain sentence: what is the matter, who must act, and what comes next. Pure.

1. `situation` says which of a domain's findings matters now, and what its certificate is like.
2. The rows of api.ui.situation turn that into the sentence; every state has one, known or not.
3. api.ui.explained says in a second sentence what was found; a code that has no line there speaks by its own message.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from api.ui.explained import EXPLAINED
from api.ui.situation import AT_REST, ROWS, UNKNOWN, Remedy, Situation, Tone, Who
from api.uploads import WARN_BEFORE
from core.domain import FOR_TENANTS, Domain, Finding

PAUSED_BY_TENANT = "paused_by_tenant"


@dataclass(frozen=True, slots=True)
class Sentence:
    """`text`: the one sentence. `label`: two words for the badge. `found`: what was seen, or ''; `who` must act."""

    text: str
    label: str
    found: str
    who: Who
    tone: Tone
    remedy: Remedy


def situation(domain: Domain, now: datetime) -> Situation:
    uploaded, used = domain.uploaded, domain.in_use
    return Situation(
        status=domain.status,
        ssl_status=domain.ssl_status,
        finding=relevant(domain),
        uploaded=uploaded is not None,
        ending=uploaded is not None and uploaded.not_after - now <= WARN_BEFORE,
        expired=used is not None and used.not_after <= now,
        paused=domain.paused_from is not None,
    )


def relevant(domain: Domain) -> Finding | None:
    """The finding that says why the domain stands where it does."""
    match domain.status:
        case "pending" | "dns_check" | "moved":
            found = domain.dns_finding
        case "failed":
            found = domain.ssl_finding if domain.ssl_status == "paused" else domain.dns_finding
        case "active" if domain.ssl_status in AT_REST and domain.ssl_finding is None:
            found = domain.dns_finding
        case _:
            found = domain.ssl_finding
    return None if found is not None and found.code == PAUSED_BY_TENANT else found


def sentence(domain: Domain, now: datetime) -> Sentence:
    return say(situation(domain, now), domain.hostname)


def say(there: Situation, hostname: str) -> Sentence:
    """Of every situation, known or not."""
    row = next((one for one in ROWS if one.matches(there)), UNKNOWN)
    return Sentence(
        text=row.text.replace("{host}", hostname),
        label=row.label,
        found="" if row.tone == "good" else found(there.finding),
        who=row.acts,
        tone=row.tone,
        remedy=row.remedy,
    )


def found(finding: Finding | None) -> str:
    """What was seen at the last look; '' where there is nothing to tell."""
    if finding is None:
        return ""
    if finding.who == "operator":
        return FOR_TENANTS
    told = EXPLAINED.get(finding.code)
    return finding.message if told is None else told
