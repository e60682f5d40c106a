"""A connection through a pooler in transaction mode: what it must not leave in a session that others use next."""

from __future__ import annotations

from uuid import uuid4

import asyncpg


class Pooled(asyncpg.Connection):  # type: ignore[misc]  # the library has no types
    """With `statement_cache_size=0`, when statements are parsed and run in one message, without a name.

    Cursors name theirs all the same, by a number that another process counts too: here no two are alike. There is
    nothing to reset, as a session's state is nobody's: ours is all set for a transaction (SET LOCAL).
    """

    def _get_unique_id(self, prefix: str) -> str:
        return f"nameplate_{prefix}_{uuid4().hex}"

    def get_reset_query(self) -> str:
        return ""
