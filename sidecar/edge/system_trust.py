"""The authorities that this machine trusts, for upstreams whose certificates a public authority has signed.

Envoy 1.40 knows no such thing by itself (`system_root_certs` is refused), and its own image may have no such file.
"""

from __future__ import annotations

import ssl
from functools import lru_cache
from pathlib import Path

import structlog

log = structlog.stdlib.get_logger(__name__)


def system_trust() -> bytes | None:
    """PEM: the file of SSL_CERT_FILE, or OpenSSL's default; read anew when it has changed. None: there is none."""
    name = ssl.get_default_verify_paths().cafile
    if name is None:
        log.error("no_system_trust")
        return None
    try:
        return _read(name, Path(name).stat().st_mtime_ns)
    except OSError as error:
        log.error("no_system_trust", file=name, reason=error.strerror)
        return None


@lru_cache(maxsize=1)
def _read(name: str, _changed_at: int) -> bytes:
    return Path(name).read_bytes()
