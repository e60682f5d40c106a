"""What operators look at: the Protocol that the operator's view consumes, its records, and the errors it expects.

This file knows neither HTTP nor SQL. `control.overview` implements the Protocol on PostgreSQL, and on what its own
process hears. All of it is read-only but `retry`. Moments are PostgreSQL's; ages are seconds.

    DomainsError
    ├── DomainNotFound     no domain, live or deleted, has the id
    ├── DeliveryNotFound   there is none with the id that was given up
    ├── SidecarNotFound    no sidecar of this name is heard
    ├── ExplainTooMany     the sidecars are being asked as much as they may be; says when the next may be
    └── SearchTooWide      the search did not come to an end in time
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

from api.auth import Operator
from api.endpoints import DeliveryState
from api.service import DomainsError
from core.domain import Finding, NextAttempt

# Seconds that a change may take to be everywhere before a sidecar without it is behind.
BEHIND_AFTER = 15.0
SOON_DAYS = (1, 7, 30)  # certificates that end within so many are counted

View = Literal["all", "search", "status", "tenant", "failing", "paused", "expiring", "late"]
CaState = Literal["well", "stumbling", "out", "unused"]
AnswerState = Literal["answered", "refused", "silent", "older"]
SealState = Literal["sealed", "changed", "unsealed"]


@dataclass(frozen=True, slots=True)
class Sidecar:
    """`heard`: its age. A sidecar speaks after it has read the feed, so its feed is not older than that.

    `live`: heard of lately; else it was within the hour. `newest`: it has applied the newest change. `envoys`: None of
    an older release, which does not count them. `acknowledged`: Envoys that have the newest change. `rejected`: Envoys
    that do not take something; `rejected_names`: of how many hostnames. `answers`: it takes questions.
    """

    id: str
    heard: float
    live: bool
    position: int
    newest: bool
    envoys: int | None
    acknowledged: int
    rejected: int
    rejected_names: int
    answers: bool


@dataclass(frozen=True, slots=True)
class Fleet:
    """`replica`: whose ears these are. `generation`, `changed`: of the newest change; None: there was none lately.

    `listens`: it is connected to where sidecars speak, and was for `listening` seconds. `heard_all`: that is long
    enough to know whoever is alive. `now`: when this was.
    """

    replica: str
    now: datetime
    generation: int
    changed: datetime | None
    listening: float
    listens: bool
    heard_all: bool
    sidecars: Sequence[Sidecar]

    @property
    def live(self) -> Sequence[Sidecar]:
        return [one for one in self.sidecars if one.live]

    @property
    def settling(self) -> bool:
        """The newest change is so new that nobody is behind for not having it."""
        return self.changed is not None and (self.now - self.changed).total_seconds() < BEHIND_AFTER


@dataclass(frozen=True, slots=True)
class StateCount:
    status: str
    ssl_status: str
    number: int


@dataclass(frozen=True, slots=True)
class CodeCount:
    """Domains that fail for one reason. `who`: has to act. `example`: one of their hostnames."""

    code: str
    who: str
    number: int
    example: str


@dataclass(frozen=True, slots=True)
class Figures:
    """Counted at `at` in `took` milliseconds, `age` ago: they are not counted anew for everybody who looks.

    `expired`: served names whose certificate has ended; `expiring`: those that end within so many days, expired ones
    not included. `late`: renewals that should be over. `paused`: by who has paused them, `tenant` or `platform`.
    `first`, `renewals`: orders that wait for their turn. `due_day`: renewals that begin within a day.
    `waiting`, `dead`: notifications; `oldest`: since when the oldest of those that wait does.
    `unanchored`: chains of the audit that no checkpoint covers to their end; `checkpoint`: the last one.
    """

    at: datetime
    took: int
    age: float
    states: Sequence[StateCount]
    failing: Sequence[CodeCount]
    expired: int
    expiring: Mapping[int, int]
    late: int
    paused: Mapping[str, int]
    first: int
    renewals: int
    due_day: int
    waiting: int
    dead: int
    oldest: datetime | None
    endpoints_failing: int
    admin_endpoints_failing: int
    unanchored: int
    checkpoint: datetime | None
    tenants: int

    @property
    def domains(self) -> int:
        return sum(one.number for one in self.states)


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a list, just after the row with these keys."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which domains. `text`: what hostnames begin or end with. `code`, `who`: of the failing. `days`: of expiring."""

    view: View = "all"
    text: str | None = None
    status: str | None = None
    ssl_status: str | None = None
    tenant_id: UUID | None = None
    code: str | None = None
    who: str | None = None
    days: int = 30


@dataclass(frozen=True, slots=True)
class DomainRow:
    """`reason`: what was found that stands in its way, or was found last. `expires`: of the certificate in use.

    `late`: its renewal should be over. `paused_by`: tenant, platform. `place`: in the list that it is of.
    """

    id: UUID
    tenant_id: UUID
    slug: str
    hostname: str
    status: str
    ssl_status: str
    reason: Finding | None
    uploaded: bool
    expires: datetime | None
    renew_at: datetime | None
    late: bool
    paused_by: str | None
    next_attempt: NextAttempt | None
    failures: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    place: Place


@dataclass(frozen=True, slots=True)
class DomainFacts:
    """One domain, whosesoever it is. `dns`, `ssl`: the whole findings. `job`: what it waits for; None: nothing."""

    row: DomainRow
    dns: Finding | None
    ssl: Finding | None
    certificate: Mapping[str, Any] | None
    job: Mapping[str, Any] | None
    generation: int


@dataclass(frozen=True, slots=True)
class BucketUse:
    """A limit of a CA. `key`: what it is kept for; empty: the account. `used` of `capacity`; `room`: what may be spent

    now, which is less than the rest by what is held back. `full_at`: when all of it has come back."""

    name: str
    subject: str
    key: str
    capacity: int
    used: int
    room: int
    next_at: datetime | None
    full_at: datetime | None


@dataclass(frozen=True, slots=True)
class CaLimits:
    """`account`: its own limits; `busiest`: of the others the fullest. `refused`: the CA's own word, by what and until.

    `per_day`: orders that the account has in a day; None: it has no limit that is known. `waiting`: orders that wait.
    `waiting_until`: when the last of them will have had its turn. `due_day`: renewals that begin within a day.
    """

    name: str
    directory_url: str
    account: Sequence[BucketUse]
    busiest: Sequence[BucketUse]
    refused: Sequence[tuple[str, str, datetime]]
    per_day: int | None
    waiting: int
    waiting_until: datetime | None
    due_day: int


@dataclass(frozen=True, slots=True)
class Failure:
    code: str
    message: str
    at: datetime


@dataclass(frozen=True, slots=True)
class CaHealth:
    """A CA as one replica has met it. `until`: it is passed over before then. `last_failure`: since it has started."""

    name: str
    directory_url: str
    state: CaState
    failures: int
    outages: int
    until: datetime | None
    last_failure: Failure | None
    last_success: datetime | None


@dataclass(frozen=True, slots=True)
class Replica:
    """A process of control. `heard`: age. `live`: heard of lately. `mine`: the one that answers now."""

    name: str
    started_at: datetime
    heard: float
    live: bool
    mine: bool
    ended: bool
    cas: Sequence[CaHealth]


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A notification. `address`: of a webhook without its path, which may be a secret. `admin`: the platform's own."""

    id: UUID
    endpoint_id: UUID
    tenant_id: UUID | None
    kind: str
    address: str
    enabled: bool
    event: str
    domain_id: UUID | None
    hostname: str | None
    state: DeliveryState
    attempts: int
    created_at: datetime
    settled_at: datetime | None
    due_at: datetime | None
    last_attempt: Mapping[str, Any] | None
    place: Place


@dataclass(frozen=True, slots=True)
class AuditWanted:
    """`actor`: the whole of it; `tenant:`, `operator:` or `control:` for all of a kind. `since`, `until`: of `at`."""

    hostname: str | None = None
    tenant_id: UUID | None = None
    actor: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuditRow:
    """`seq`: its place in its tenant's chain; None: it has none. `anchored`: a checkpoint covers it.

    `seal`: whether it is what its seal says, and that follows the one before.
    """

    id: int
    at: datetime
    tenant_id: UUID
    domain_id: UUID
    hostname: str
    actor: str
    action: str
    detail: Mapping[str, Any]
    seq: int | None
    seal: SealState
    anchored: bool


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


class Overview(Protocol):
    """Every method may raise Unavailable."""

    async def fleet(self, caller: Operator) -> Fleet: ...

    async def figures(self, caller: Operator) -> Figures:
        """Those that were counted last, or new ones if that is a while ago."""
        ...

    async def domains(self, caller: Operator, wanted: Wanted, after: Place | None, limit: int) -> Sequence[DomainRow]:
        """The next domains of all tenants after a place, at most `limit`. Raises SearchTooWide."""
        ...

    async def domain(self, caller: Operator, domain_id: UUID) -> DomainFacts:
        """Raises DomainNotFound."""
        ...

    async def limits(self, caller: Operator) -> Sequence[CaLimits]:
        """Of the CAs, in the operator's order."""
        ...

    async def replicas(self, caller: Operator) -> Sequence[Replica]:
        """By name: those that are alive, or were within the hour."""
        ...

    async def deliveries(
        self, caller: Operator, state: DeliveryState, after: Place | None, limit: int
    ) -> Sequence[DeliveryRow]:
        """Newest first; of those that wait, the oldest."""
        ...

    async def retry(self, caller: Operator, delivery_id: UUID) -> DeliveryRow:
        """Send once more what was given up. Raises DeliveryNotFound."""
        ...

    async def audit(self, caller: Operator, wanted: AuditWanted, before: int | None, limit: int) -> Sequence[AuditRow]:
        """Newest first. Raises SearchTooWide."""
        ...

    async def explain(self, caller: Operator, host: str, sni: str, path: str, sidecar: str | None) -> Explanation:
        """Ask the sidecars that are alive, or one, and wait for their answers. `sni`: "" for none.

        Raises SidecarNotFound, ExplainTooMany, core.question.QuestionUnfit.
        """
        ...


class SidecarNotFound(DomainsError):
    def __init__(self) -> None:
        super().__init__("sidecar_not_found", "No sidecar of this name is heard.")


class ExplainTooMany(DomainsError):
    """`retry_after`: whole seconds, at least 1."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("explain_too_many", f"The sidecars are asked often enough; try again in {retry_after} s.")
        self.retry_after = retry_after


class SearchTooWide(DomainsError):
    def __init__(self) -> None:
        super().__init__("search_too_wide", "The search took too long; say more, or a shorter time.")
