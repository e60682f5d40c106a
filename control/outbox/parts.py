"""Notifications put together from the settings: what control runs, and what its API uses."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
from prometheus_client import CollectorRegistry

from control.dns.resolver import Resolver
from control.outbox.admin import AdminEndpoints
from control.outbox.deliverer import Deliverer, DeliveryMetrics, Sender
from control.outbox.endpoints import TenantEndpoints
from control.outbox.mail import MailSender, SmtpServer
from control.outbox.mail import Sender as MailFrom
from control.outbox.queue import Queue
from control.outbox.settings import NotificationSettings
from control.outbox.signing import Secrets
from control.outbox.target import Targets
from control.outbox.webhook import WebhookSender
from control.vault import Vault
from core.trace import NOTHING, Tracer


def deliverer(
    settings: NotificationSettings,
    pool: asyncpg.Pool[Any],
    vault: Vault,
    resolvers: Sequence[Resolver],
    registry: CollectorRegistry,
    now: Callable[[], datetime],
    tracer: Tracer = NOTHING,
) -> Deliverer:
    """`pool`: as the workers' role. Raises OSError for a CA file that cannot be read."""
    secrets = Secrets(vault, now)
    senders: dict[str, Sender] = {
        "webhook": WebhookSender(
            secrets,
            Targets(resolvers, settings.webhook_allowed_networks),
            trust(settings.webhook_ca_file),
            now,
            insecure=settings.webhook_allow_http,
        )
    }
    if settings.smtp_url is not None and settings.mail_from is not None:
        server = SmtpServer.parse(settings.smtp_url.get_secret_value())
        senders["email"] = MailSender(server, MailFrom.parse(settings.mail_from), trust(settings.smtp_ca_file), now)
    known: Mapping[str, Sender] = senders
    admin = AdminEndpoints(pool, secrets, settings.admin_webhook_url, settings.admin_email)
    return Deliverer(Queue(pool), known, secrets, admin, DeliveryMetrics(registry), now, tracer=tracer)


def endpoints(
    settings: NotificationSettings, pool: asyncpg.Pool[Any], vault: Vault, now: Callable[[], datetime]
) -> TenantEndpoints:
    """`pool`: as the API's role."""
    return TenantEndpoints(
        pool,
        Secrets(vault, now),
        mails=settings.smtp_url is not None,
        allowed=settings.webhook_allowed_networks,
        insecure=settings.webhook_allow_http,
    )


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """The system's authorities, or those of the file alone."""
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
