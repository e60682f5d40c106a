"""One operation of the API, with everything it can answer; and what many of them can."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from api.catalogue import CATALOGUE

_TOKENS = tuple(code for code, kind in CATALOGUE.items() if kind.status == 401)
EVERYWHERE = (*_TOKENS, "precondition_failed", "keys_unavailable", "database_unavailable", "internal_error")
QUERY = ("unknown_parameter", "invalid_parameter")
BODY = (
    "unsupported_media_type",
    "body_too_large",
    "invalid_json",
    "duplicate_field",
    "unknown_field",
    "missing_field",
    "wrong_type",
)
NO_BODY = tuple(code for code in BODY if code != "missing_field")
# What a chain and its key can be refused for.
UPLOADED = (
    "upload_too_large",
    "pkcs12_not_supported",
    "key_encrypted",
    "key_not_readable",
    "key_weak",
    "key_unsupported",
    "chain_unreadable",
    "key_mismatch",
    "certificate_expired",
    "certificate_not_yet_valid",
    "certificate_wrong_usage",
    "certificate_must_staple",
    "signature_weak",
    "chain_incomplete",
    "chain_unrelated",
)


@dataclass(frozen=True, slots=True)
class Success:
    """`schema` is a name in `api.schemas`, `headers` are in `api.parameters`."""

    description: str
    schema: str | None = None
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """`path`: below each of PREFIXES. `head`: HEAD is answered as GET without the body. `tag`: whose it is."""

    name: str
    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    summary: str
    successes: Mapping[int, Success]
    problems: tuple[str, ...]
    parameters: tuple[str, ...] = ()
    body: str | None = None
    body_required: bool = True
    head: bool = False
    description: str = ""
    tag: str = "tenant"
