"""The issuer's public keys (JSON Web Key Set, RFC 7517), from a file or a URL, kept fresh.

This file does not see tokens. Whatever a token says of its key (`kid`) can make it fetch at most once in
MIN_REFETCH seconds, and nothing in a token can name the place to fetch from.

Only keys for RS256 (from 2048 bits), ES256 (P-256) and EdDSA (Ed25519) are taken, public ones without `use` or with
`sig`; the algorithm follows from the key, never from a token. Other keys of a set are left out, and the log says why.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import httpx
import structlog
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK, PyJWTError

# A flood of made-up key ids reaches the issuer at most this often; also the pause after a failed fetch.
MIN_REFETCH = 10.0
# The same while there are no keys at all: every request is being refused, so recover faster.
MIN_REFETCH_WITHOUT_KEYS = 1.0
# While the issuer can be reached, a key that it withdrew is trusted for at most this long (Envoy's jwt_authn: 300 s).
MAX_AGE = 300.0
FETCH_TIMEOUT = 5.0
# A set of 20 RSA-4096 keys is 16 KB.
MAX_SIZE = 256 * 1024
# NIST SP 800-131A, RFC 7518 section 3.3.
MIN_RSA_BITS = 2048

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

log = structlog.get_logger(__name__)


class KeysUnavailable(Exception):
    """There are no keys: none could be read so far."""


class KeySetError(Exception):
    """This is not a key set, or it has no key that can be used."""


class KeySource(Protocol):
    """Where `api.auth` gets keys."""

    async def keys(self) -> tuple[VerificationKey, ...]:
        """The keys of now. Raises KeysUnavailable."""
        ...

    async def newer(self) -> tuple[VerificationKey, ...]:
        """The same, after another look if one is due: a token needs a key that `keys()` did not have."""
        ...


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key and the one algorithm it is used with."""

    kid: str | None
    algorithm: str
    key: PublicKey = field(repr=False)


# (kty, crv) → (algorithm, the members that the public key consists of)
_KINDS: Mapping[tuple[str, str | None], tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        ("RSA", None): ("RS256", ("n", "e")),
        ("EC", "P-256"): ("ES256", ("crv", "x", "y")),
        ("OKP", "Ed25519"): ("EdDSA", ("crv", "x")),
    }
)
ALGORITHMS = frozenset(algorithm for algorithm, _ in _KINDS.values())


def parse_key_set(document: bytes) -> tuple[VerificationKey, ...]:
    """The usable keys of a JWK set. Raises KeySetError when there is none, and nothing else."""
    try:
        entries = json.loads(document)["keys"]
    except (ValueError, RecursionError, TypeError, KeyError):
        raise KeySetError("it is not a JSON Web Key Set") from None
    if not isinstance(entries, list):
        raise KeySetError("its member keys is not an array")
    keys: list[VerificationKey] = []
    for number, entry in enumerate(entries):
        try:
            keys.append(_parse_key(entry))
        except KeySetError as error:
            log.warning("jwks_key_left_out", number=number, reason=str(error))
    if not keys:
        raise KeySetError("it has no key that can be used")
    return tuple(keys)


def _parse_key(entry: object) -> VerificationKey:
    if not isinstance(entry, dict):
        raise KeySetError("it is not an object")
    if "d" in entry or "k" in entry:
        raise KeySetError("it is a private or symmetric key, which does not belong in a public set")
    kty, crv = entry.get("kty"), entry.get("crv")
    kind = _KINDS.get((str(kty), None if kty == "RSA" else str(crv)))
    if kind is None:
        raise KeySetError("its type or curve is not one that is used here")
    algorithm, members = kind
    operations = entry.get("key_ops", ["verify"])
    if entry.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        raise KeySetError("it is not for signatures")
    if entry.get("alg", algorithm) != algorithm:
        raise KeySetError("it is for another algorithm")
    if not isinstance(entry.get("kid"), str | None):
        raise KeySetError("its kid is not a string")
    public = {"kty": kty, **{name: entry.get(name) for name in members}}
    return VerificationKey(entry.get("kid"), algorithm, _public_key(public, algorithm))


def _public_key(jwk: dict[str, Any], algorithm: str) -> PublicKey:
    if not all(isinstance(value, str) for value in jwk.values()):
        raise KeySetError("a number of it is missing")
    try:
        key: object = PyJWK(jwk, algorithm).key
    except PyJWTError:
        raise KeySetError("its numbers are not a key") from None
    if isinstance(key, RSAPublicKey) and key.key_size < MIN_RSA_BITS:
        raise KeySetError(f"it has fewer than {MIN_RSA_BITS} bits")
    if not isinstance(key, PublicKey):
        raise KeySetError("it is not a public key")
    return key


class KeyFile:
    """A key set in a local file, read again when the file has changed. An unreadable new version is not used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys: tuple[VerificationKey, ...] = ()
        self._version: tuple[int, ...] | None = ()

    async def keys(self) -> tuple[VerificationKey, ...]:
        self._look()
        if not self._keys:
            raise KeysUnavailable
        return self._keys

    async def newer(self) -> tuple[VerificationKey, ...]:
        return await self.keys()

    def _look(self) -> None:
        version = self._version_now()
        if version == self._version:
            return
        self._version = version
        try:
            self._keys = parse_key_set(self._path.read_bytes())
        except (OSError, KeySetError) as error:
            log.warning("jwks_file_not_used", path=str(self._path), reason=str(error))

    def _version_now(self) -> tuple[int, ...] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size, found.st_ino)


class KeyUrl:
    """A key set that the issuer serves. Fetched when first needed; call `close` at the end.

    1. Keys younger than MAX_AGE are used as they are.
    2. Older ones are fetched again, once for all who wait. While that fails the old ones stay in use, and requests
       do not wait for the next attempts.
    3. A token with an unknown key makes them be fetched again, unless that was tried less than MIN_REFETCH ago.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds, never going back. Raises ValueError for what is not an absolute http or https URL."""
        try:
            self._url = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise ValueError(f"the JWKS URL is not valid: {error}") from None
        if self._url.scheme not in ("http", "https") or not self._url.host:
            raise ValueError("the JWKS URL is not an absolute http or https URL")
        self._clock = clock
        # The system's trust store. No proxy or certificate settings from the environment, no redirects.
        self._client = httpx.AsyncClient(
            verify=ssl.create_default_context(), trust_env=False, follow_redirects=False, timeout=FETCH_TIMEOUT
        )
        self._keys: tuple[VerificationKey, ...] = ()
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._failing = False
        self._fetch: asyncio.Task[None] | None = None

    async def keys(self) -> tuple[VerificationKey, ...]:
        if self._clock() - self._fetched_at > MAX_AGE:
            await self._refresh(wait=not (self._failing and self._keys))
        return self._current()

    async def newer(self) -> tuple[VerificationKey, ...]:
        await self._refresh(wait=True)
        return self._current()

    async def close(self) -> None:
        if self._fetch is not None:
            self._fetch.cancel()
            await asyncio.wait([self._fetch])
        await self._client.aclose()

    def _current(self) -> tuple[VerificationKey, ...]:
        if not self._keys:
            raise KeysUnavailable
        return self._keys

    async def _refresh(self, *, wait: bool) -> None:
        if self._fetch is None:
            pause = MIN_REFETCH if self._keys else MIN_REFETCH_WITHOUT_KEYS
            if self._clock() - self._tried_at < pause:
                return
            self._tried_at = self._clock()
            self._fetch = asyncio.create_task(self._fetch_once(), name="jwks fetch")
        if wait:
            # Shielded: a client that gives up must not end the fetch that others wait for.
            await asyncio.shield(self._fetch)

    async def _fetch_once(self) -> None:
        try:
            async with asyncio.timeout(FETCH_TIMEOUT):
                self._keys = parse_key_set(await self._download())
            self._fetched_at = self._clock()
            self._failing = False
        except (httpx.HTTPError, KeySetError, TimeoutError) as error:
            self._failing = True
            log.warning("jwks_not_fetched", host=self._url.host, reason=str(error) or type(error).__name__)
        finally:
            self._fetch = None

    async def _download(self) -> bytes:
        document = bytearray()
        headers = {"accept": "application/json", "accept-encoding": "identity"}
        async with self._client.stream("GET", self._url, headers=headers) as response:
            if response.status_code != 200:
                raise KeySetError(f"the answer's status is {response.status_code}")
            async for chunk in response.aiter_raw():
                document += chunk
                if len(document) > MAX_SIZE:
                    raise KeySetError(f"it is larger than {MAX_SIZE} bytes")
        return bytes(document)
