"""The tenants' pages: somebody answers at the address that browsers are sent to."""

from __future__ import annotations

from collections.abc import Sequence

import httpx

from cli.doctor.finding import Finding, found, well

WHAT = "pages"
WITHIN = 5.0


async def examine(url: str | None) -> Sequence[Finding]:
    """`url`: NAMEPLATE_UI_URL."""
    if url is None:
        return [well(WHAT, "not offered")]
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=WITHIN) as http:
            answer = await http.get(f"{url}/ui/")
    except (httpx.HTTPError, OSError) as error:
        return [found("ui_unreachable", WHAT, f"{url}: {str(error) or type(error).__name__}")]
    if "frame-ancestors 'none'" not in answer.headers.get("content-security-policy", ""):
        return [found("ui_unreachable", WHAT, f"{url}/ui/ answered {answer.status_code}, and it is not control")]
    return [well(WHAT, f"{url} answers")]
