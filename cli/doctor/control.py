"""The checks of `nameplate doctor`: what control needs."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from cli.doctor import authorities, clock, mail, migrations, pages, port, postgresql, resolvers, vault, zone
from cli.doctor.finding import Check
from cli.doctor.postgresql import Role
from control.settings import ControlSettings
from core.vault import control_policy, eab_path

URL, LISTEN, API = (
    "NAMEPLATE_CONTROL_DATABASE_URL",
    "NAMEPLATE_CONTROL_LISTEN_DATABASE_URL",
    "NAMEPLATE_API_DATABASE_URL",
)


def checks(settings: ControlSettings, now: clock.Now) -> Sequence[Check]:
    look = functools.partial
    workers = Role(
        "nameplate_control", "PostgreSQL, as the workers", URL, settings.control_access(), ("rpv", ".*"), ("TRUNCATE",)
    )
    api = Role(
        "nameplate_api",
        "PostgreSQL, as the tenants' API",
        API,
        settings.api_access(),
        ("r", "^custom_domains$"),
        ("TRUNCATE",),
    )
    of_workers = (postgresql.session, migrations.examine, postgresql.tables, postgresql.rights)
    of_api = (postgresql.session, postgresql.isolation, postgresql.rights)
    variables = {"url": URL, "listen": LISTEN}
    bindings = {ca.name: eab_path(ca.directory_url) for ca in settings.cas if ca.eab}
    subject = vault.Subject("control", control_policy, bindings)
    times = {
        "PostgreSQL": clock.of_postgresql(settings.control_access()),
        "Vault": clock.of_http(look(vault.client, settings), "sys/health"),
        **{ca.name: clock.of_http(look(authorities.client, ca), ca.directory_url) for ca in settings.cas},
    }
    return (
        Check(workers.what, look(postgresql.examine, workers, of_workers)),
        Check(api.what, look(postgresql.examine, api, of_api)),
        Check(
            "LISTEN", look(postgresql.hearing, settings.control_listen_access(), settings.control_access(), variables)
        ),
        Check(vault.WHAT, look(vault.examine, settings, subject)),
        Check(authorities.KEYS, look(authorities.token_keys, settings)),
        Check(authorities.CAS, look(authorities.directories, settings), 30),
        Check(resolvers.WHAT, look(resolvers.examine, settings.dns_resolvers, settings.target), 30),
        Check(zone.WHAT, look(zone.examine, settings), 60),
        Check(clock.WHAT, look(clock.examine, times, now)),
        Check(mail.WHAT, look(mail.examine, settings)),
        Check(pages.WHAT, look(pages.examine, settings.ui_url)),
        Check(port.WHAT, look(port.examine, settings.api_listen)),
    )
