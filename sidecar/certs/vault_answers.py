"""What Vault says: a record, a token, or why not.

    core.errors.NameplateError
    └── VaultError
        ├── VaultUnavailable   no answer, or one that says "later": try again
        ├── VaultDenied        the login or the policy says no, also after a new login
        └── VaultNotFound      nothing at that path and version (never written, deleted or destroyed)

Sources: https://openbao.org/api-docs/auth/approle/, https://openbao.org/api-docs/auth/token/,
https://openbao.org/api-docs/secret/kv/kv-v2/, https://openbao.org/api-docs/ (status codes). HashiCorp Vault is alike.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Self

from core.errors import NameplateError
from core.vault_login import TOKEN_TEXT
from sidecar.certs.connection import Answer

OK, BAD_REQUEST, FORBIDDEN, NOT_FOUND = 200, 400, 403, 404
# Rate limit or standby; a proxy without a Vault behind it; sealed or in maintenance; a proxy that waited too long.
SAYS_LATER: Final = frozenset({429, 502, 503, 504})
# What JSON of another shape than Vault's leads to: too deep, Infinity, null, a list.
UNREADABLE: Final = (ValueError, KeyError, TypeError, OverflowError, RecursionError)
RENEW_AT: Final = 2 / 3  # of a token's lifetime
NEVER: Final = 10 * 365 * 86400.0


class VaultError(NameplateError):
    """Reading from Vault failed. `code` is each subclass's own."""

    CODE: ClassVar[str] = "vault_failed"

    def __init__(self, message: str) -> None:
        super().__init__(self.CODE, message)

    def again(self) -> Self:
        """The same error without its traceback."""
        return type(self)(self.message)


class VaultUnavailable(VaultError):
    CODE = "vault_unavailable"


class VaultDenied(VaultError):
    CODE = "vault_denied"


class VaultNotFound(VaultError):
    CODE = "vault_not_found"


@dataclass(frozen=True, slots=True)
class VaultRecord:
    """What was written at a path, and as which version of it."""

    data: Mapping[str, Any] = field(repr=False)
    version: int


@dataclass(frozen=True, slots=True)
class Token:
    """`lifetime`: seconds, 0: for ever, or nobody knows. `since`: when it was given, by the monotonic clock.

    `mark`: of the file that it came from.
    """

    text: str = field(repr=False)
    lifetime: float
    renewable: bool
    since: float
    mark: Hashable = None

    @property
    def renew_at(self) -> float:
        return self.since + (self.lifetime * RENEW_AT if self.lifetime else NEVER)

    @property
    def expires_at(self) -> float:
        return self.since + (self.lifetime or NEVER)


def record_of(response: Answer) -> VaultRecord:
    """Of an answer OK to a read of KV v2. Raises VaultUnavailable."""
    try:
        body = json.loads(response.body)["data"]
        return VaultRecord(dict(body["data"]), int(body["metadata"]["version"]))
    except UNREADABLE:
        raise VaultUnavailable("Vault's answer is not a KV v2 record.") from None


def token_of(response: Answer, now: float) -> Token:
    """Of an answer OK to a login or a renewal. `now`: by the monotonic clock. Raises VaultUnavailable."""
    try:
        auth = json.loads(response.body)["auth"]
        text, lifetime = str(auth["client_token"]), float(auth["lease_duration"])
        if TOKEN_TEXT.fullmatch(text) is None or not 0 <= lifetime < math.inf:
            raise ValueError
        return Token(text, lifetime, bool(auth["renewable"]), now)
    except UNREADABLE:
        raise VaultUnavailable("Vault's answer to the login has no token.") from None


def refusal_of(response: Answer, what: str) -> VaultError:
    """Never with the body: it may repeat the request."""
    status = response.status
    if status == NOT_FOUND:
        return VaultNotFound("Vault has nothing at this path and version.")
    if status in {BAD_REQUEST, FORBIDDEN} and what != "read":
        return VaultDenied(f"Vault refused to {what} ({status}).")
    if status == FORBIDDEN:
        return VaultDenied("Vault's policy does not let the sidecar read this path.")
    return VaultUnavailable(f"Vault answered {status}.")
