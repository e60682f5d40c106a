"""What is sent, to whom, and what came of it. Plain records, and the words of a message; no I/O.

{"type": "domain.verify", "timestamp": "2026-04-22T02:00:00.000Z", "data": {"domainId": …, "hostname": …, …}}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from api.endpoints import EndpointKind
from api.representation import timestamp
from control.outbox.events import notice_of

# Members of a payload that are shown, and their names; what else the workers noted is theirs.
_SHOWN: Mapping[str, str] = {
    "hostname": "hostname",
    "from": "from",
    "to": "to",
    "finding": "code",
    "message": "message",
    "who": "who",
    "by": "by",
    "serial": "serial",
    "not_after": "notAfter",
    "address": "address",
    "code": "code",
    "endpoint": "endpoint",
    "tenant": "tenant",
    "ca": "ca",
    "until": "until",
    "name": "name",
    "days": "days",
}
_WHO: Mapping[str, str] = {
    "tenant": "You can mend it.",
    "operator": "The platform's operator must mend it.",
    "ca": "The certificate authority must mend it.",
    "nobody": "It passes by itself.",
}


@dataclass(frozen=True, slots=True)
class Receiver:
    """`tenant_id`: None for the platform's own admin. `secret_version`: in Vault; None for a mailbox."""

    id: UUID
    kind: EndpointKind
    address: str
    tenant_id: UUID | None
    secret_version: int | None


@dataclass(frozen=True, slots=True)
class Message:
    """`id`: the same at every attempt. `happened_at`: not when it is sent."""

    id: UUID
    event: str
    tenant_id: UUID | None
    domain_id: UUID | None
    payload: Mapping[str, Any]
    happened_at: datetime

    @property
    def name(self) -> str:
        """As receivers know it."""
        return f"msg_{self.id.hex}"

    def body(self) -> bytes:
        """The webhook's, the same bytes at every attempt."""
        data: dict[str, Any] = {}
        if self.domain_id is not None:
            data["domainId"] = str(self.domain_id)
        for member, shown in _SHOWN.items():
            if self.payload.get(member) is not None:
                data[shown] = self.payload[member]
        data["summary"] = self.subject()
        document = {"type": self.event, "timestamp": timestamp(self.happened_at), "data": data}
        return json.dumps(document, separators=(",", ":")).encode("ascii")

    def subject(self) -> str:
        return _filled(notice_of(self.event).subject, self.payload)

    def text(self) -> str:
        """Some lines for a person."""
        lines = [_filled(notice_of(self.event).text, self.payload)]
        if self.payload.get("message"):
            lines += ["", str(self.payload["message"]), _WHO.get(str(self.payload.get("who")), "")]
        lines += ["", f"Event: {self.event}", f"Time: {self.happened_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"]
        if self.domain_id is not None:
            lines.append(f"Domain: {self.payload.get('hostname', '')} ({self.domain_id})")
        return "\n".join(" ".join(line.split()) for line in lines).strip() + "\n"


def _filled(template: str, payload: Mapping[str, Any]) -> str:
    """One line without control characters, whatever the payload holds."""
    text = template.format_map(_Known({name: value for name, value in payload.items() if value is not None}))
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


class _Known(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return f"({key})"


@dataclass(frozen=True, slots=True)
class Taken:
    """The receiver has it."""


@dataclass(frozen=True, slots=True)
class Failed:
    """`code`: stable, snake_case; `message`: a sentence that may be shown to the tenant. `status`: HTTP or SMTP.

    `final`: another attempt would end alike. `gone`: nothing is to be sent there any more. `hold`: the receiver asked
    that nothing at all be sent to it for `retry_after`. `ours`: it says nothing of the receiver.
    """

    code: str
    message: str
    status: int | None = None
    retry_after: timedelta | None = None
    final: bool = False
    gone: bool = False
    hold: bool = False
    ours: bool = False


Answer = Taken | Failed
