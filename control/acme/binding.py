"""External account binding (RFC 8555 section 7.3.4): what ties the platform's account to a contract with the CA.

The operator puts what the CA has given into Vault, at core.vault.eab_path: {"key_id": …, "hmac": base64url}. It is
read when an account is registered and kept nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from acme import messages
from josepy.b64 import b64decode
from josepy.jwk import JWKEC

from control.acme.problems import AcmeMisconfigured

# 256 bits and more is what HS256 wants (RFC 7518 section 3.2); CAs do not all keep to it.
_HMAC = re.compile(r"[A-Za-z0-9_-]{22,512}={0,2}")
_KEY_ID = re.compile(r"[\x21-\x7e]{1,256}")


@dataclass(frozen=True, slots=True)
class Binding:
    """`hmac`: base64url."""

    key_id: str
    hmac: str = field(repr=False)

    @classmethod
    def from_vault(cls, data: Mapping[str, Any]) -> Binding:
        """Raises AcmeMisconfigured."""
        key_id, hmac = (_text(data.get(name)) for name in ("key_id", "hmac"))
        if not _KEY_ID.fullmatch(key_id) or not _HMAC.fullmatch(hmac) or not _decodes(hmac):
            raise AcmeMisconfigured(
                "ca_eab_unreadable",
                "What Vault has as the CA's external account binding is not a key_id and a base64url hmac.",
            )
        return cls(key_id, hmac)

    def signed(self, account_key: JWKEC, new_account_url: str) -> Mapping[str, Any]:
        """The field `externalAccountBinding` of newAccount."""
        made: Mapping[str, Any] = messages.ExternalAccountBinding.from_data(
            account_key.public_key(),
            self.key_id,
            self.hmac,
            {"newAccount": new_account_url},  # type: ignore[arg-type]  # it asks the directory for nothing else
        )
        return made


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _decodes(hmac: str) -> bool:
    try:
        return bool(b64decode(hmac.rstrip("=")))
    except (ValueError, TypeError):
        return False
