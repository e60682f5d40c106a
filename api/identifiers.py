"""UUIDs as clients write them: in their one usual spelling. UUID() reads many more ({…}, urn:uuid:…, no hyphens)."""

from __future__ import annotations

from uuid import UUID


def parse_uuid(text: str) -> UUID | None:
    """None for anything else. Never raises."""
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if str(found) == text.lower() else None
