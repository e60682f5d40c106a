"""What of the listeners the operator decides. It knows none of Envoy's messages, so it costs nothing to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from core.errors import NameplateError

Lane = Literal["request", "connection"]
LANES: Final = get_args(Lane)


class Unbuildable(NameplateError):
    """A row of which no configuration can be made; it is left out, and the others stay.

    Codes: service_trust_missing, service_identity_missing.
    """


@dataclass(frozen=True, slots=True)
class ListenerPlan:
    """`address`: an IP address, and the ports as Envoy sees them. `access_log`: a file on Envoy's machine; "": none."""

    lane: Lane = "request"
    address: str = "0.0.0.0"
    http_port: int = 80
    https_port: int = 443
    proxy_protocol: bool = False
    access_log: str = "/dev/stdout"
