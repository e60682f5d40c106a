"""Why a name or a token could not be loaded.

    core.errors.NameplateError
    └── LoadFailed
        ├── Unavailable      PostgreSQL did not answer (in time)
        └── Refused          the budget of this second is used up; PostgreSQL was not asked

Neither says anything about whether the name exists.
"""

from __future__ import annotations

from core.errors import NameplateError


class LoadFailed(NameplateError):
    pass


class Unavailable(LoadFailed):
    def __init__(self) -> None:
        super().__init__("directory_unavailable", "The name is not in memory, and PostgreSQL does not answer.")


class Refused(LoadFailed):
    def __init__(self) -> None:
        super().__init__("directory_budget_used_up", "Too many names that are not in memory were asked for.")
