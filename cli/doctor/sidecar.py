"""The checks of `nameplate doctor sidecar`: what a sidecar needs, and the Envoy beside it."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from cli.doctor import clock, envoy, postgresql, sockets, vault
from cli.doctor.finding import Check
from cli.doctor.postgresql import Role
from core.vault import sidecar_policy
from sidecar.settings import SidecarSettings

URL, LISTEN = "NAMEPLATE_SIDECAR_DATABASE_URL", "NAMEPLATE_SIDECAR_LISTEN_DATABASE_URL"
NEVER = ("INSERT", "UPDATE", "DELETE", "TRUNCATE")


def checks(settings: SidecarSettings, now: clock.Now, program: str | None, admin: str) -> Sequence[Check]:
    """`program`, `admin`: of Envoy."""
    look = functools.partial
    role = Role("nameplate_sidecar", "PostgreSQL", URL, settings.database(), ("v", "_v[0-9]+$"), NEVER)
    variables = {"url": URL, "listen": LISTEN}
    times = {
        "PostgreSQL": clock.of_postgresql(settings.database()),
        "Vault": clock.of_http(look(vault.client, settings), "sys/health"),
    }
    return (
        Check(role.what, look(postgresql.examine, role, (postgresql.session, postgresql.rights))),
        Check("LISTEN", look(postgresql.hearing, settings.listen_database(), settings.database(), variables)),
        Check(vault.WHAT, look(vault.examine, settings, vault.Subject("sidecar", sidecar_policy, {}))),
        Check(clock.WHAT, look(clock.examine, times, now)),
        Check("sockets", look(sockets.examine, settings)),
        Check("snapshot", look(sockets.state, settings)),
        Check("sidecar", look(sockets.readiness, settings)),
        Check(envoy.WHAT, look(envoy.examine, settings, program), 30),
        Check(envoy.ADMIN, look(envoy.administration, admin)),
    )
