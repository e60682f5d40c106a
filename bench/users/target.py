"""What users aim at: a description that `nameplate bench edge` writes, or an engineer by hand for another machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Names: those numbered from 0 are served (a certificate in Vault); `names` of them in all can be checked.

    `address`: of the Envoys. `request_port`, `connection_port`: HTTPS of each lane, 0 where there is none.
    `check_socket`: "" where it cannot be reached. `tokens`: JWTs of tenants for the API.
    """

    names: int
    served: int
    address: str = "127.0.0.1"
    request_port: int = 0
    connection_port: int = 0
    check_socket: str = ""
    api_url: str = ""
    tokens: Sequence[str] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        return cls(**json.loads(path.read_text()))

    def port_of(self, lane: str) -> int:
        return {"request": self.request_port, "connection": self.connection_port}[lane]

    def write(self, path: Path) -> None:
        """For its owner alone: the tokens let anyone in."""
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")
