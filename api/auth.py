"""Bearer tokens (RFC 6750) that are signed JWTs (RFC 7519), checked by the advice of RFC 8725.

A token is checked in this order, and the first failure is the answer:

 1. `Authorization: Bearer` and three parts of base64url        token_missing, token_malformed
 2. the header's `alg` is one of ours: never none, never HS*    token_algorithm_refused
 3. no critical extensions (`crit`, RFC 7515 section 4.1.11)    token_malformed
 4. a key: the `kid`'s, or without one each that fits           keys_unavailable, token_unknown_key,
                                                                token_algorithm_refused
 5. the signature, by the algorithm of the key                  token_bad_signature
 6. `exp`, which is required, and `nbf`                         token_bad_claim, token_expired, token_not_yet_valid
 7. `iss` and `aud`                                             token_bad_issuer, token_bad_audience
 8. `sub`, and the tenant claim, a UUID                         token_bad_claim, token_no_tenant
    or, for the operator's own things, a word of `scope`        admin_only

A token of the operator needs no tenant; one that has both may do either. `scope`: RFC 8693 section 4.2.

Header parameters that bring a key or its address (`jwk`, `jku`, `x5c`, `x5u`) are never looked at. Nothing of a token
is logged or repeated in an answer.
"""

from __future__ import annotations

import base64
import json
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from jwt import InvalidSignatureError, PyJWS, PyJWTError

from api.identifiers import parse_uuid
from api.jwks import ALGORITHMS, KeySource, KeysUnavailable, VerificationKey
from api.problems import ADMIN_SCOPE, Problem

# A token with a dozen claims and an RS256 signature has 1 KB; servers limit the line at 8 KB (nginx) to 64 KB.
MAX_TOKEN = 8192
# `sub` goes into the audit. OpenID Connect Core section 2: at most 255 ASCII characters.
MAX_SUBJECT = 255

_PART = r"[A-Za-z0-9_-]"
# An empty signature may pass here, so that "none" is refused for what it is.
_BEARER = re.compile(rf"bearer +({_PART}+\.{_PART}*\.{_PART}*)", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling: the tenant, and the token's subject for the audit."""

    tenant_id: UUID
    subject: str


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody of the platform itself, and the token's subject for the audit."""

    subject: str


class Authenticator:
    """`leeway`: seconds that the issuer's clock may differ. `clock`: Unix time in seconds."""

    def __init__(
        self,
        key_source: KeySource,
        *,
        issuer: str,
        audience: str,
        tenant_claim: str = "tenant_id",
        leeway: float = 30.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._key_source = key_source
        self._issuer = issuer
        self._audience = audience
        self._tenant_claim = tenant_claim
        self._leeway = leeway
        self._clock = clock
        self._jws = PyJWS(algorithms=sorted(ALGORITHMS))

    async def authenticate(self, authorization: str | None) -> Principal:
        """The caller, from the value of the Authorization header. Raises Problem (401, or 503 without keys)."""
        claims = await self._claims(authorization)
        subject = _subject(claims)
        return Principal(self._tenant(claims), subject)

    async def authenticate_operator(self, authorization: str | None) -> Operator:
        """The same for the operator's own things. Raises Problem (403 too)."""
        claims = await self._claims(authorization)
        operator, scope = Operator(_subject(claims)), claims.get("scope")
        if not isinstance(scope, str) or ADMIN_SCOPE not in scope.split(" "):
            raise Problem("admin_only")
        return operator

    async def _claims(self, authorization: str | None) -> Mapping[str, Any]:
        """Of a token that is in force and of our issuer."""
        token = _bearer_token(authorization)
        header = _header(token)
        try:
            keys = await self._key_source.keys()
            try:
                payload = self._verified(token, header, keys)
            except Problem:
                # Perhaps the issuer has rotated its keys. A known kid settles it: that key is the one.
                newer = await self._key_source.newer() if _may_have_rotated(header, keys) else keys
                if newer == keys:
                    raise
                payload = self._verified(token, header, newer)
        except KeysUnavailable:
            raise Problem("keys_unavailable") from None
        claims = _json_object(payload)
        self._check(claims)
        return claims

    def _verified(self, token: str, header: Mapping[str, Any], keys: tuple[VerificationKey, ...]) -> bytes:
        """The payload, once one of the keys has made the signature."""
        kid, algorithm = header.get("kid"), header["alg"]
        meant = [key for key in keys if kid is None or key.kid == kid]
        if not meant:
            raise Problem("token_unknown_key")
        fitting = [key for key in meant if key.algorithm == algorithm]
        if not fitting:
            raise Problem("token_unknown_key" if kid is None else "token_algorithm_refused")
        for key in fitting:
            try:
                verified = self._jws.decode_complete(token, key.key, algorithms=[key.algorithm])
            except InvalidSignatureError:
                continue
            except PyJWTError:
                raise Problem("token_malformed") from None
            payload: bytes = verified["payload"]
            return payload
        raise Problem("token_bad_signature")

    def _check(self, claims: Mapping[str, Any]) -> None:
        now = self._clock()
        if _time(claims, "exp") <= now - self._leeway:
            raise Problem("token_expired")
        if "nbf" in claims and _time(claims, "nbf") > now + self._leeway:
            raise Problem("token_not_yet_valid")
        if claims.get("iss") != self._issuer:
            raise Problem("token_bad_issuer")
        audience = claims.get("aud")
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            raise Problem("token_bad_audience")

    def _tenant(self, claims: Mapping[str, Any]) -> UUID:
        text = claims.get(self._tenant_claim)
        tenant = parse_uuid(text) if isinstance(text, str) else None
        # The nil UUID is what an issuer may write that knows no tenant; in the audit it is the platform itself.
        if tenant is None or tenant.int == 0:
            raise Problem("token_no_tenant")
        return tenant


def _subject(claims: Mapping[str, Any]) -> str:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT or not subject.isprintable():
        raise Problem("token_bad_claim", f"sub must be text of 1 to {MAX_SUBJECT} printable characters.")
    return subject


def _bearer_token(authorization: str | None) -> str:
    scheme, _, _ = (authorization or "").partition(" ")
    if authorization is None or scheme.lower() != "bearer":
        raise Problem("token_missing")
    if len(authorization) > MAX_TOKEN or (found := _BEARER.fullmatch(authorization)) is None:
        raise Problem("token_malformed")
    return found[1]


def _header(token: str) -> Mapping[str, Any]:
    """The JOSE header (RFC 7515 section 4), of which only `alg`, `kid` and `crit` count."""
    header = _json_object(_decode(token.partition(".")[0]))
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise Problem("token_algorithm_refused")
    if "crit" in header or "b64" in header or not isinstance(header.get("kid"), str | None):
        raise Problem("token_malformed")
    return header


def _may_have_rotated(header: Mapping[str, Any], keys: tuple[VerificationKey, ...]) -> bool:
    kid = header.get("kid")
    return kid is None or all(key.kid != kid for key in keys)


def _decode(part: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise Problem("token_malformed") from None


def _json_object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Problem("token_malformed") from None
    if not isinstance(value, dict):
        raise Problem("token_malformed")
    return value


def _time(claims: Mapping[str, Any], name: str) -> float:
    """A NumericDate (RFC 7519 section 2)."""
    value = claims.get(name)
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or (isinstance(value, float) and not math.isfinite(value))
    ):
        raise Problem("token_bad_claim", f"{name} must be a number of seconds.")
    return value
