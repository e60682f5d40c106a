"""Control put together from its settings: the workers of jobs, the loops beside them, and the tenants' API."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from api.app import create_app
from api.auth import Authenticator
from api.instructions import Target
from api.jwks import KeyFile, KeyUrl
from control.acme.order import DNS_01
from control.audit.anchor import Anchoring, AnchorMetrics
from control.certificates import renewal
from control.certificates.ari import RenewalInformation
from control.certificates.authorities import Authorities, CaMetrics
from control.certificates.challenges import kind_of
from control.certificates.dns01 import Dns01, dns01
from control.certificates.examination import Examination
from control.certificates.ledger import Ledger
from control.certificates.obtain import Limits as Bounds
from control.certificates.obtain import Obtainer
from control.certificates.propagation import Propagation
from control.certificates.renewals import Renewals
from control.certificates.revoke import Revoker
from control.client_auth.endings import Endings as ClientAuthEndings
from control.client_auth.tenant import TenantClientAuths
from control.dns.ownership import Ownership
from control.dns.presence import Presence
from control.dns.resolver import Resolver, resolvers
from control.domains.diagnoses import Diagnoses
from control.domains.pause_warnings import PauseWarnings
from control.domains.reach import Reach
from control.domains.rivals import Rivals
from control.domains.tenants import TenantDomains
from control.domains.verify import Verifier
from control.domains.watch import Watch
from control.housekeeping import keep_tidy
from control.jobs import Kind
from control.limits.forecast import Forecast
from control.limits.limits import Limits
from control.limits.policy import POLICIES
from control.metrics import parts as metrics
from control.metrics.calls import MeasuredVault, measured
from control.outbox import parts as notifications
from control.outbox.alerts import CaAlerts
from control.overview.parts import overview
from control.preflight.diagnosis import Diagnosis
from control.preflight.facts import KnownFacts
from control.preflight.preflight import Preflight
from control.preflight.probe import Prober
from control.preflight.report import Challenge
from control.preflight.tokens import ProbeTokens
from control.services import parts as services
from control.settings import ControlSettings
from control.ui import parts as pages
from control.ui.changes import Hints
from control.uploads.activation import Activation
from control.uploads.clearing import Clearing
from control.uploads.endings import Endings
from control.uploads.tenant import TenantUploads
from control.worker import Handler, Room
from core.certificate import Certificate
from core.domain import Domain
from core.hostname import HostnameRules, registered_domain
from core.trace import Tracer

PROBE_WITHIN = 5.0  # seconds for the question whether an active name's own addresses lead here


@dataclass(frozen=True, slots=True)
class Parts:
    """`handlers`: of each kind of job. `room`: for jobs that order. `loops`: for as long as the process lives.

    `answered`: a sidecar has answered a question. `tell`: there may be something to tell people. `changed`: pages that
    are open may be out of date.
    """

    handlers: Mapping[Kind, Handler]
    room: Room
    loops: Mapping[str, Callable[[], Coroutine[Any, Any, None]]]
    propagation: Propagation
    answered: Callable[[str], None]
    tell: Callable[[], None]
    changed: Callable[[], None]
    app: ASGIApp


@dataclass(frozen=True, slots=True)
class Ground:
    """What the parts stand on. `pool`, `api_pool`: as the workers' and as the API's role."""

    settings: ControlSettings
    pool: asyncpg.Pool[Any]
    api_pool: asyncpg.Pool[Any]
    registry: CollectorRegistry
    actor: str
    now: Callable[[], datetime]
    tracer: Tracer
    closing: contextlib.AsyncExitStack


def assemble(ground: Ground) -> Parts:
    """Nothing of it runs yet. Raises ValueError and OSError for settings that cannot be used."""
    settings, pool, now = ground.settings, ground.pool, ground.now
    vault = MeasuredVault.measured(settings, ground.registry)
    ground.closing.callback(vault.close)
    authorities = Authorities.of(settings.cas, vault, pool, CaMetrics(ground.registry), now, CaAlerts(pool))
    ground.closing.callback(authorities.close)
    rules = HostnameRules(settings.platform_domain, (*settings.blocked_suffixes, *_own_names(settings)))
    limits = Limits(functools.partial(registered_domain, rules=rules), default=POLICIES[settings.acme_limits])
    propagation, hints = Propagation(), Hints()
    ledger = Ledger(pool, ground.actor, limits, _renewal(settings.renew_days_before))
    asked = measured(resolvers(settings.dns_resolvers), ground.registry)
    ownership = Ownership(asked, settings.target, now)
    zone = dns01(settings, pool, asked, now)
    tokens = ProbeTokens(pool)
    preflight = _preflight(settings, asked, zone)
    facts = KnownFacts(pool, authorities)
    obtainer = Obtainer(
        authorities,
        vault,
        ledger,
        propagation,
        zone,
        Examination(preflight, tokens, facts, now, Rivals(pool, ownership, settings.target, now)),
        Bounds(failures=settings.max_ssl_retries),
        now,
    )
    presence = Presence(
        asked,
        settings.target,
        [str(ip) for ip in (*settings.apex_ipv4, *settings.apex_ipv6)],
        now,
        look_at_delegation=zone.look if zone else None,
        probe=Reach(tokens, Prober(frozenset(), PROBE_WITHIN, settings.challenge_port)),
    )
    handlers: dict[Kind, Handler] = {
        "verify": Verifier(pool, ownership, ground.actor, settings.dns_check_interval, now, settings.cool_down).verify,
        "obtain": obtainer.obtain,
        "revoke": Revoker(authorities, vault, pool, ground.actor).revoke,
    }
    deliverer = notifications.deliverer(settings, pool, vault, asked, ground.registry, now, ground.tracer)
    loops: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
        "figures": metrics.figures(ground.registry, pool, authorities, limits, propagation).run,
        "housekeeping": functools.partial(keep_tidy, pool),
        "renewals": Renewals(pool, ground.actor, now).run,
        "renewal information": RenewalInformation(pool, authorities, settings.renew_days_before, now).run,
        "watch": Watch(pool, presence, ground.actor, now, settings.watch_interval).run,
        "pauses' warnings": PauseWarnings(pool, ground.actor, now).run,
        "audit anchor": Anchoring(pool, vault, metrics=AnchorMetrics(ground.registry)).run,
        "notifications": deliverer.run,
        "uploads' endings": Endings(pool, ground.actor, now).run,
        "client authorities' endings": ClientAuthEndings(pool, ground.actor, now).run,
        "uploads' activation": Activation(pool, propagation, ground.actor).run,
        "uploads' clearing": Clearing(pool, vault, propagation, now).run,
        "pages": hints.until_the_end,
        "upkeep": services.upkeep(pool, vault, ground.registry, now).run,
    }
    view = overview(pool, authorities, limits, propagation, ground.actor.removeprefix("control:"))
    loops["replica"] = view.presence.run
    if zone is not None:
        loops["dns-01"] = zone.keep_clear
    app = create_app(
        TenantDomains(
            ground.api_pool,
            settings.verify_ttl,
            settings.max_per_tenant,
            settings.cool_down,
            Forecast(settings.cas[0].directory_url, POLICIES[settings.acme_limits], now),
        ),
        _authenticator(ground),
        rules,
        Target(
            settings.target,
            [str(ip) for ip in settings.apex_ipv4],
            [str(ip) for ip in settings.apex_ipv6],
            settings.acme_dns_zone,
        ),
        ground.registry,
        diagnostician=Diagnoses(Diagnosis(preflight, ownership, tokens, facts, _kind(zone))),
        endpoints=notifications.endpoints(settings, ground.api_pool, vault, now),
        uploads=TenantUploads(ground.api_pool, vault, settings.verify_ttl, now),
        client_auths=TenantClientAuths(ground.api_pool, now),
        witness=propagation,
        upstreams=services.upstreams(pool, vault),
        overview=view,
        ui=pages.ui(settings, pool, vault, hints, now),
        tracer=ground.tracer,
        now=now,
    )
    return Parts(
        handlers,
        _room(limits, authorities, pool),
        loops,
        propagation,
        view.explanations.heard,
        deliverer.wake,
        hints.tell,
        app,
    )


def _own_names(settings: ControlSettings) -> Sequence[str]:
    """The platform's names that may lie outside its domain: what is below them is nobody else's."""
    return [name for name in (settings.target, settings.acme_dns_zone, settings.ui_host) if name]


def _renewal(days_before: int) -> Callable[[Certificate, UUID], datetime]:
    def schedule(certificate: Certificate, domain_id: UUID) -> datetime:
        seed = renewal.seed_of(domain_id, certificate.serial)
        return renewal.schedule(
            certificate.not_before, certificate.not_after, days_before=days_before, window=None, seed=seed
        )

    return schedule


def _room(limits: Limits, authorities: Authorities, pool: asyncpg.Pool[Any]) -> Room:
    async def room() -> int:
        return sum([await limits.room(pool, one.directory_url) for one in authorities.in_order()])

    return room


def _kind(zone: Dns01 | None) -> Callable[[Domain], Awaitable[Challenge]]:
    async def kind(domain: Domain) -> Challenge:
        return "dns-01" if await kind_of(domain, zone) == DNS_01 else "http-01"

    return kind


def _preflight(settings: ControlSettings, asked: Sequence[Resolver], zone: Dns01 | None) -> Preflight:
    return Preflight(
        asked,
        settings.target,
        settings.apex_ipv4,
        settings.apex_ipv6,
        zone.look if zone else None,
        port=settings.challenge_port,
    )


def _authenticator(ground: Ground) -> Authenticator:
    settings = ground.settings
    keys: KeyUrl | KeyFile
    if settings.jwt_jwks_url:
        keys = KeyUrl(settings.jwt_jwks_url)
        ground.closing.push_async_callback(keys.close)
    else:
        assert settings.jwt_jwks_file is not None  # noqa: S101 -- one of the two is set
        keys = KeyFile(settings.jwt_jwks_file)
    return Authenticator(
        keys, issuer=settings.jwt_issuer, audience=settings.jwt_audience, tenant_claim=settings.jwt_tenant_claim
    )
