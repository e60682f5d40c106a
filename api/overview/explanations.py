"""What the sidecars say would happen to a host, each by itself, and in what they differ: fact by fact. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from api.representation import timestamp

AnswerState = Literal["answered", "refused", "silent", "older"]
Said: TypeAlias = Mapping[str, Any]

NOTHING = "—"


@dataclass(frozen=True, slots=True)
class Explained:
    """`state`: refused: it says why in `error`; silent: nothing was heard; older: of a release that takes no questions.

    `after`: seconds until its answer was whole. `answer`: as the sidecar's own /explain says it.
    """

    sidecar: str
    state: AnswerState
    after: float | None
    answer: Mapping[str, Any] | None = None
    error: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    host: str
    sni: str
    path: str
    at: datetime
    waited: float
    sidecars: Sequence[Explained]


def explanation_of(explanation: Explanation) -> dict[str, Any]:
    return {
        "host": explanation.host,
        "sni": explanation.sni,
        "path": explanation.path,
        "at": timestamp(explanation.at),
        "waited": round(explanation.waited, 3),
        "facts": [
            {"fact": one.name, "differs": one.differs, "values": dict(one.values)}
            for one in facts(explanation.sidecars)
        ],
        "sidecars": [_explained(one) for one in explanation.sidecars],
    }


def _explained(one: Explained) -> Mapping[str, Any]:
    return {
        "sidecar": one.sidecar,
        "state": one.state,
        "after": None if one.after is None else round(one.after, 3),
        "error": None if one.error is None else dict(one.error),
        "answer": None if one.answer is None else dict(one.answer),
    }


@dataclass(frozen=True, slots=True)
class Fact:
    """`values`: as text, by sidecar. `differs`: not all say the same."""

    name: str
    values: Mapping[str, str]

    @property
    def differs(self) -> bool:
        return len(set(self.values.values())) > 1


def _decision(name: str) -> Callable[[Said], object]:
    def say(said: Said) -> object:
        decision = said["decisions"][name]
        if decision["passes"]:
            return f"passes, as {decision['row']}"
        return decision["outcome"] if decision["passes"] is None else f"{decision['status']} {decision['outcome']}"

    return say


def _of(section: str, member: str) -> Callable[[Said], object]:
    return lambda said: (said[section] or {}).get(member)


def _why(said: Said) -> object:
    return "; ".join(f"{one['message']} ({one['code']})" for one in said["why"]) or None


def _envoys(said: Said) -> object:
    """How many have which version: their numbers and names are each sidecar's own."""
    versions = sorted({str(one["version"] or "nothing") for one in said["envoys"]})
    return ", ".join(versions) or "none has it"


def _rejected(said: Said) -> object:
    return "; ".join(sorted({str(one["rejected"]["reason"]) for one in said["envoys"] if one["rejected"]})) or None


def _auth(said: Said) -> object:
    return (said["client_auth"] or {}).get("mode")


def _stale(said: Said) -> object:
    directory = said["directory"]
    return "changes may be missing" if directory["stale"] else "follows the changes"


# What is compared. Not here: what is each sidecar's own, such as its position, or what it happens to hold in memory.
FACTS: Sequence[tuple[str, Callable[[Said], object]]] = (
    ("Would be served", lambda said: {True: "yes", False: "no", None: "not in memory"}[said["served"]]),
    ("Why not", _why),
    ("Registered as", _of("row", "hostname")),
    ("Tenant", _of("row", "tenant")),
    ("Domain", _of("row", "domain")),
    ("Request on TLS", _decision("request")),
    ("Request on port 80", _decision("plain")),
    ("Connection", _decision("connection")),
    ("Certificate", _of("certificate", "state")),
    ("Certificate's version", _of("certificate", "version")),
    ("Envoys have", _envoys),
    ("Envoys reject", _rejected),
    ("Service", _of("service", "name")),
    ("Service's state", _of("service", "state")),
    ("Client certificates", _auth),
    ("Lane", lambda said: said["lane"]),
    ("Directory", _stale),
)


def facts(answers: Sequence[Explained]) -> Sequence[Fact]:
    """Of those that have answered. What nobody has anything to say about is left out."""
    found = []
    for name, read in FACTS:
        values = {one.sidecar: _text(read, one.answer) for one in answers if one.answer is not None}
        if any(value != NOTHING for value in values.values()):
            found.append(Fact(name, values))
    return found


def _text(read: Callable[[Said], object], said: Said) -> str:
    """Sidecars of another release may leave something out, or say it otherwise."""
    try:
        value = read(said)
    except (KeyError, TypeError, AttributeError):
        return "unknown"
    return NOTHING if value is None else str(value)
