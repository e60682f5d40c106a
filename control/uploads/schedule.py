"""When a tenant is warned of its uploaded certificate's end, and when that is served no more. No database, no clock.

warnings   so many days before the end; what has passed already when it is uploaded is not told, the answer says it
margin     an hour, or a tenth of the lifetime where that is less: the managed certificate takes over so long before the
           end, because clients' clocks are ahead of ours, and sidecars and Envoys take a moment to have the other one
no other   where there is no managed certificate that lasts longer, the uploaded one is served to its end
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

WARNINGS = (30, 14, 7, 1)  # days
LONGEST_MARGIN = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Life:
    not_before: datetime
    not_after: datetime

    @property
    def switch_at(self) -> datetime:
        """When a managed certificate takes over, if there is one."""
        return self.not_after - min(LONGEST_MARGIN, max(self.not_after - self.not_before, timedelta(0)) / 10)

    def due_at(self, now: datetime) -> datetime:
        """When there is something to do for it next. Not after `now` only once it has ended."""
        moments = (*(self.not_after - timedelta(days=days) for days in WARNINGS), self.switch_at)
        return min((moment for moment in moments if moment > now), default=self.not_after)

    def warning(self, now: datetime) -> int | None:
        """The last of WARNINGS that has come, in days; None: none has."""
        return min((days for days in WARNINGS if now >= self.not_after - timedelta(days=days)), default=None)

    def is_over(self, now: datetime, managed_until: datetime | None) -> bool:
        """Whether it is to be served no more. `managed_until`: end of the managed certificate."""
        has_other = managed_until is not None and managed_until > self.not_after
        return now >= (self.switch_at if has_other else self.not_after)
