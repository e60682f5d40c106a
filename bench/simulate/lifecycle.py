"""The platform over the years: what control does with each domain, by its own decisions, on a clock that jumps from
event to event.

| decided by the product's code                  | only modelled here                                              |
| ---------------------------------------------- | --------------------------------------------------------------- |
| when to renew (certificates.renewal)           | the order of service (Jobs.claim and a trigger, in SQL)         |
| when to try again (certificates.backoff)       | the pre-flight: it finds nine of ten faults before an order     |
| what may be spent (limits.policy, gcra)        | the watch: a name that is elsewhere is known in hours           |
| which transition is legal (domains.states)     | how long an order takes, how many run at once                   |
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from heapq import heappop, heappush

from bench.simulate.authority import ModelCa, RateLimited
from bench.simulate.buckets import Buckets
from bench.simulate.site import Outcome, Site
from bench.simulate.turns import Queue
from bench.simulate.world import Fault, Trouble, World
from control.certificates import backoff, renewal
from control.certificates.renewals import OUTSTANDING
from control.certificates.troubles import PAUSED
from control.domains import states, watch
from control.limits import refusal
from control.limits.policy import LETSENCRYPT, Policy
from control.limits.spending import LimitReached

AT_ONCE = 32  # orders; two replicas
DAYS_BEFORE = 30  # DOMAINS_SSL_RENEW_DAYS_BEFORE
FAILURES = 10  # DOMAINS_MAX_SSL_RETRIES
FORESEEN = 0.9  # of faults, by the pre-flight
ASKED_EVERY = timedelta(hours=6)  # the CA, for its renewal information
SECOND = timedelta(seconds=1)


class Platform:
    def __init__(self, world: World, ca: ModelCa, policy: Policy = LETSENCRYPT, seed: int = 1) -> None:
        self._world = world
        self._ca = ca
        self._random = random.Random(seed)
        random.seed(seed)  # the product's jitter
        self._sites = [Site(name) for name in world.names]
        self._buckets = Buckets(policy)
        self._queue = Queue(
            lambda number, now: self._sites[number].is_urgent(now),
            lambda number, now: self._sites[number].is_exempt(now),
        )
        self._events: list[tuple[datetime, int, str, int, int]] = []
        self._sequence = 0
        self._running = 0
        self._renewing: set[int] = set()
        self._due: list[tuple[datetime, int, int]] = []
        self._wake_at: datetime | None = None
        self.outcome = Outcome()

    def run(self) -> Outcome:
        for number, site in enumerate(self._sites):
            self._at(site.name.registered_at, "proven", number)
            for which, trouble in enumerate(site.name.troubles):
                if trouble.fault is Fault.ELSEWHERE:
                    self._at(self._known_elsewhere(trouble), "moved", number, which)
                    if trouble.end is not None:
                        self._at(trouble.end + watch.INTERVAL * self._random.random(), "returned", number, which)
                elif trouble.end is not None:
                    self._at(trouble.end + trouble.noticed, "asked", number)
            if site.name.pause is not None:
                self._at(site.name.pause[0], "paused", number)
                self._at(site.name.pause[1], "resumed", number)
        if self._ca.renewal_information:
            self._at(self._world.incident, "incident", 0)
        while self._events and self._events[0][0] < self._world.end:
            now, _, kind, number, version = heappop(self._events)
            getattr(self, f"_on_{kind}")(now, number, version)
            self._begin_renewals(now)
            self._dispatch(now)
        self.outcome.served_at_end = sum(
            site.not_after is not None and site.not_after > self._world.end for site in self._sites
        )
        return self.outcome

    # --- events

    def _on_proven(self, now: datetime, number: int, _: int) -> None:
        site = self._sites[number]
        site.step("record_found")
        site.step("ownership_proven")
        site.waiting_since = now
        self._on_due(now, number, site.version)

    def _on_due(self, _now: datetime, number: int, version: int) -> None:
        """The job's time has come: it takes its place in the queue."""
        site = self._sites[number]
        if version != site.version or site.ssl == "paused" or site.status not in ("verified", "active"):
            return
        if site.sent:
            self._queue.add_under_way(number)
        elif site.not_after is None:
            self._queue.add_first(number, site.name.tenant)
        else:
            self._queue.add_renewal(number, site.not_after)

    def _on_renew(self, _now: datetime, number: int, version: int) -> None:
        site = self._sites[number]
        if version == site.version and site.status == "active" and site.not_after is not None:
            heappush(self._due, (site.not_after, number, version))

    def _on_moved(self, now: datetime, number: int, which: int) -> None:
        site = self._sites[number]
        if site.status == "active" and site.name.troubles[which] is site.name.wrong(now):
            site.step("moved_away")
            self._queue.remove(number)
            self._renewing.discard(number)

    def _on_returned(self, now: datetime, number: int, _: int) -> None:
        site = self._sites[number]
        if site.status == "moved" and site.name.wrong(now) is None:
            site.step("came_back")
            if site.ssl in ("expiring", "error", "validating"):
                self._again(site, number, now)
            elif site.ssl in ("issued", "renewed"):
                self._plan(site, number, now)
        self._on_asked(now, number, 0)

    def _on_asked(self, now: datetime, number: int, _: int) -> None:
        """The tenant has mended what it was told of, and asks for another try."""
        site = self._sites[number]
        if site.name.wrong(now) is not None or site.paused_from is not None:
            return
        if site.ssl == "paused":
            site.step("resumed")
            site.failures = 0
            if site.status == "failed":
                site.step("retry")
                self._on_proven(now, number, 0)
            else:
                self._again(site, number, now)
        elif site.ssl == "error" and site.status in ("verified", "active"):
            self._again(site, number, now)

    def _on_looked(self, now: datetime, number: int, _: int) -> None:
        """The pre-flight of a paused domain, which has a certificate to lose."""
        site = self._sites[number]
        if site.ssl != "paused" or site.paused_from is not None:
            return
        if site.status == "moved" or (site.name.wrong(now) is not None and self._random.random() < FORESEEN):
            self._at(now + backoff.delay(PAUSED, 1), "looked", number)
            return
        site.step("resumed")
        site.failures = 0
        self._again(site, number, now)

    def _on_paused(self, now: datetime, number: int, _: int) -> None:
        """By its tenant: an order that is at the CA stays there, and nothing else is planned."""
        site = self._sites[number]
        if site.status not in states.PROVEN:
            return
        site.paused_from = "error" if site.ssl == "paused" else site.ssl
        site.step("paused_by_tenant")
        site.version += 1
        self._queue.remove(number)
        self._renewing.discard(number)

    def _on_resumed(self, now: datetime, number: int, _: int) -> None:
        site = self._sites[number]
        if site.paused_from is None:
            return
        site.step(f"back_to_{site.paused_from}")
        site.paused_from, site.failures = None, 0
        if site.status == "moved":
            return
        if site.ssl in states.STORED:
            self._plan(site, number, now)
        else:
            self._again(site, number, now)

    def _on_incident(self, now: datetime, _number: int, _version: int) -> None:
        for number, site in enumerate(self._sites):
            if site.not_after is not None and site.not_after > now and self._random.random() < 0.2:
                site.window = (now, now + timedelta(days=4))
                if site.status == "active" and site.ssl in ("issued", "renewed"):
                    self._plan(site, number, now + ASKED_EVERY * self._random.random())

    def _on_expired(self, now: datetime, number: int, serial: int) -> None:
        site = self._sites[number]
        if site.serial == serial and site.paused_from is not None:
            self.outcome.expired_paused += 1
        elif site.serial == serial:
            if site.name.wrong(now) is None:
                self.outcome.expired_right += 1
            else:
                self.outcome.expired_wrong += 1

    def _on_wake(self, _now: datetime, _number: int, _version: int) -> None:
        self._wake_at = None

    def _on_answered(self, now: datetime, number: int, version: int) -> None:
        """The CA has looked at the name, and issued."""
        self._running -= 1
        site = self._sites[number]
        if version != site.version or site.status not in ("verified", "active"):
            return
        if self._ca.is_away(now):
            self._again(site, number, now + backoff.delay(backoff.CA_TROUBLE, site.attempts))
            return
        site.sent = False
        if site.name.wrong(now) is not None:
            self._ca.failed(site.name.hostname, now)
            self._buckets.failed(site.name.hostname, site.name.registered_domain, now, exempt=site.exempt)
            self._failed(site, number, now, "challenge_failed")
            return
        self._issued(site, number, now)

    # --- one run of a job

    def _dispatch(self, now: datetime) -> None:
        self.outcome.longest_queue = max(self.outcome.longest_queue, len(self._queue))
        while self._running < AT_ONCE and len(self._queue):
            room = self._buckets.room(now) > 0
            number = self._queue.claim(now, room=room)
            if number is None:
                break
            self._obtain(self._sites[number], number, now)
        if len(self._queue) and self._running < AT_ONCE and self._wake_at is None:
            self._wake_at = max(self._buckets.next_order(now), now + SECOND)
            self._at(self._wake_at, "wake", 0)

    def _obtain(self, site: Site, number: int, now: datetime) -> None:
        site.attempts += 1
        if site.sent:
            self._ask(site, number, now)
            return
        if site.name.wrong(now) is not None and self._random.random() < FORESEEN:
            delay = backoff.delay(backoff.PREFLIGHT, site.attempts)
            if site.attempts < len(backoff.PREFLIGHT):
                self._again(site, number, now + delay)
            else:
                self._failed(site, number, now, "preflight_failed", delay)
            return
        exempt = site.is_exempt(now)
        try:
            self._buckets.take(site.name.hostname, site.name.registered_domain, now, exempt=exempt)
        except LimitReached as reached:
            self.outcome.waited_for_limit[reached.code] += 1
            self._again(site, number, reached.until + 10 * SECOND * self._random.random())
            return
        site.exempt = exempt
        if site.ssl in ("none", "error"):
            site.step("order_started" if site.not_after is None else "renewal_started")
        arrives = now + 2 * SECOND * self._random.random()
        if self._ca.is_away(arrives):
            self._not_taken(site, now)
            self._again(site, number, now + backoff.delay(backoff.CA_TROUBLE, site.attempts))
            return
        replaced = site.window if site.not_after is not None else None
        try:
            self._ca.new_order(site.name.hostname, site.name.registered_domain, arrives, replaced)
        except RateLimited:
            self._not_taken(site, now)
            self._again(site, number, refusal.read("", now).until)
            return
        site.sent = True
        self._ask(site, number, arrives)

    def _not_taken(self, site: Site, now: datetime) -> None:
        """At once: while an order waits that cannot be sent, our buckets would refill and the CA's are full already."""
        self._buckets.not_issued(site.name.hostname, site.name.registered_domain, now, exempt=site.exempt)

    def _ask(self, site: Site, number: int, now: datetime) -> None:
        self._running += 1
        site.version += 1
        self._at(now + SECOND * self._random.uniform(2, 20), "answered", number, site.version)

    def _issued(self, site: Site, number: int, now: datetime) -> None:
        renewed = site.not_after is not None
        if renewed:
            assert site.not_before is not None
            assert site.not_after is not None
            self.outcome.renewed.append(now)
            self.outcome.margins.append((site.not_after - now) / (site.not_after - site.not_before))
        elif site.waiting_since is not None:
            self.outcome.first_waits[number] = (now - site.waiting_since).total_seconds()
        site.not_before, site.not_after = self._ca.issue(
            site.name.hostname, site.name.registered_domain, now, renewal=renewed
        )
        site.step("certificate_stored")
        if site.status == "verified":
            site.step("certificate_loaded")
        self._buckets.succeeded(site.name.hostname)
        self._renewing.discard(number)
        site.failures = site.attempts = 0
        site.serial += 1
        site.window = self._ca.window(site.not_before, site.not_after)
        self._at(site.not_after, "expired", number, site.serial)
        self._plan(site, number, now)

    def _failed(self, site: Site, number: int, now: datetime, event: str, delay: timedelta | None = None) -> None:
        site.step(event)
        site.failures += 1
        if site.failures >= FAILURES:
            site.step("failures_exceeded")
            self._renewing.discard(number)
            if site.status == "verified":
                site.step("retries_exhausted")
            else:
                self._at(now + backoff.delay(PAUSED, 1), "looked", number)
            return
        self._again(site, number, now + (delay or backoff.delay(backoff.FAILURES, site.failures)))

    # --- what comes next

    def _plan(self, site: Site, number: int, now: datetime) -> None:
        """When the certificate is renewed."""
        assert site.not_before is not None
        assert site.not_after is not None
        site.version += 1
        seed = renewal.seed_of(site.name.id, str(site.serial))
        at = renewal.schedule(site.not_before, site.not_after, days_before=DAYS_BEFORE, window=site.window, seed=seed)
        self._at(max(at, now), "renew", number, site.version)

    def _begin_renewals(self, now: datetime) -> None:
        """First to expire first, and only so many at once (control.certificates.renewals)."""
        while self._due and len(self._renewing) < OUTSTANDING:
            _, number, version = heappop(self._due)
            site = self._sites[number]
            if version == site.version and site.status == "active":
                site.step("expiry_near")
                self._renewing.add(number)
                self._on_due(now, number, version)

    def _again(self, site: Site, number: int, at: datetime) -> None:
        site.version += 1
        if site.ssl == "error":
            self._renewing.discard(number)  # only those that are expiring are counted
        self._at(at, "due", number, site.version)

    def _known_elsewhere(self, trouble: Trouble) -> datetime:
        """By the watch's third look in a row."""
        looks = self._random.random() + (watch.MISSES - 1) / watch.NEAR
        return trouble.start + watch.INTERVAL * looks

    def _at(self, at: datetime, kind: str, number: int, version: int = 0) -> None:
        self._sequence += 1
        heappush(self._events, (at, self._sequence, kind, number, version))
