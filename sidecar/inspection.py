"""What the process says of itself, put together: metrics, what would happen to a host, and the HTTP that tells both.

No check waits for it: imported and made last (sidecar.app).
"""

from __future__ import annotations

from collections.abc import Callable

from sidecar.admin import Admin
from sidecar.checks import Checks
from sidecar.directory.service import DirectoryService
from sidecar.discovery import Discovery
from sidecar.explain.questions import Questions
from sidecar.metrics import Metrics
from sidecar.readiness import Readiness


class Inspection:
    """`sidecar`: this process's name. `questions` run until cancelled."""

    def __init__(
        self,
        sidecar: str,
        directory: DirectoryService,
        checks: Checks,
        discovery: Discovery,
        readiness: Callable[[], Readiness],
    ) -> None:
        metrics = Metrics(
            directory.stats,
            directory.edge_stats,
            checks.stats,
            {"checks": checks.server, "xds": discovery.server},
            discovery.secrets,
            discovery.resources,
            discovery.vault,
            readiness,
        )
        explain = discovery.explain(checks.policy, checks.routing, readiness)
        self.admin = Admin(readiness, metrics.read, explain)
        self.questions = Questions(sidecar, explain, directory.postgres)
        directory.feed.on_question = self.questions.heard
