"""Control's side of Vault (HashiCorp Vault or OpenBao): KV version 2 with check-and-set, behind a core.vault_login.

    VaultError
    ├── VaultUnavailable   no answer in time, sealed, standby, 429, 5xx: the same call may work later
    ├── VaultDenied        the login or the policy refuses; an operator has to act
    └── VaultConflict      check-and-set: somebody else wrote first

hvac is synchronous, so each call runs in a thread, with a deadline. The token is renewed when two thirds of its life
are over, on use; one that is refused is replaced by a new login, once a call; one from a file is its writer's to renew,
and replaced when the file is. No error carries what was sent or read.
Source: https://openbao.org/api-docs/secret/kv/kv-v2/
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, NamedTuple, Self, TypeVar

import hvac.exceptions
import requests
from hvac.adapters import JSONAdapter
from hvac.api.auth_methods import Token
from hvac.api.secrets_engines import KvV2

from core import trace
from core.errors import NameplateError
from core.settings import VaultSettings
from core.vault import kind
from core.vault_login import GivenToken, Login, LoginUnreadable, Request

DEADLINE = 10.0  # seconds for a call, a login on the way included
SOCKET_TIMEOUT = 5.0  # bounds the thread itself, which cannot be cancelled
RENEW_AFTER = 2 / 3  # of the token's life, as Vault Agent does

CAS_MISMATCH = "check-and-set"  # "check-and-set parameter did not match the current version"
UPGRADING = "Upgrading from non-versioned"  # a KV mount in its first moments

T = TypeVar("T")


class VaultError(NameplateError):
    """Vault refused a request for a reason of its own. Code: vault_refused."""


class VaultUnavailable(VaultError):
    """Code: vault_unavailable."""

    def __init__(self, reason: str) -> None:
        super().__init__("vault_unavailable", f"Vault does not answer as it should ({reason}).")


class VaultDenied(VaultError):
    """Code: vault_denied."""

    def __init__(self, reason: str) -> None:
        super().__init__("vault_denied", f"Vault refuses control ({reason}).")


class VaultConflict(VaultError):
    """Code: vault_conflict."""

    def __init__(self, path: str) -> None:
        super().__init__("vault_conflict", f"Somebody else wrote {path} in Vault first.")


class Secret(NamedTuple):
    """What is stored at a path, and the version that says so."""

    data: Mapping[str, Any]
    version: int

    def __repr__(self) -> str:
        return f"Secret(version={self.version})"


@dataclass(frozen=True, slots=True)
class _Held:
    token: str = field(repr=False)
    lifetime: float  # seconds; 0: the token does not expire, or when is not known
    renewable: bool
    at: float  # when it was made or renewed, by the clock of its Vault
    mark: Hashable = None  # of the file that it came from


class Vault:
    """`address`: base URL, without `/v1`. Paths are without mount, as core.vault builds them. Close it at the end.

    `login` is asked at each login, so that a secret that was rotated is taken up without a restart. `now`: seconds.
    """

    def __init__(
        self,
        address: str,
        mount: str,
        login: Login,
        ca_file: str | None = None,
        namespace: str | None = None,
        deadline: float = DEADLINE,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._mount = mount
        self._login = login
        self._namespace = namespace
        self._deadline = deadline
        self._now = now
        self._held: _Held | None = None
        self._login_lock = asyncio.Lock()
        self._session = requests.Session()
        # Neither a proxy nor a CA bundle from the environment: the settings say what is used.
        self._session.trust_env = False
        self._session.verify = ca_file or True
        self._address = address.rstrip("/")

    @classmethod
    def of(cls, settings: VaultSettings) -> Self:
        ca_file = str(settings.vault_ca_file) if settings.vault_ca_file else None
        return cls(settings.vault_addr, settings.vault_mount, settings.vault_login(), ca_file, settings.vault_namespace)

    def close(self) -> None:
        self._session.close()

    async def read(self, path: str, version: int | None = None) -> Secret | None:
        """The latest version, or the given one; None when there is none, or it was deleted or destroyed."""
        return (await self._read(path, version))[0]

    async def read_with_cas(self, path: str) -> tuple[Secret | None, int]:
        """The latest version, and the `cas` of a write that is to follow it and nothing else.

        They are from one moment. A version that was deleted is not read, but its number counts.
        """
        return await self._read(path, None)

    async def _read(self, path: str, version: int | None) -> tuple[Secret | None, int]:
        def call(adapter: JSONAdapter) -> tuple[Secret | None, int]:
            try:
                answer = KvV2(adapter).read_secret_version(
                    path, version=version, mount_point=self._mount, raise_on_deleted_version=True
                )
            except hvac.exceptions.InvalidPath as error:
                # 404 has a body when there are versions, but not this one any more.
                metadata = ((error.json or {}).get("data") or {}).get("metadata") or {}
                return None, int(metadata.get("version", 0))
            secret = Secret(answer["data"]["data"], int(answer["data"]["metadata"]["version"]))
            return secret, secret.version

        return await self._call(call, path, "read")

    async def write(self, path: str, data: Mapping[str, Any], *, cas: int) -> int:
        """Write if the path's current version is `cas` (0: nothing there yet). Return the new version.

        Raises VaultConflict if it is another. After VaultUnavailable the write may or may not have happened.
        """

        def call(adapter: JSONAdapter) -> int:
            answer = KvV2(adapter).create_or_update_secret(path, dict(data), cas=cas, mount_point=self._mount)
            return int(answer["data"]["version"])

        return await self._call(call, path, "write")

    async def versions(self, path: str) -> tuple[int, ...]:
        """The versions that can still be read, oldest first."""

        def call(adapter: JSONAdapter) -> tuple[int, ...]:
            try:
                answer = KvV2(adapter).read_secret_metadata(path, mount_point=self._mount)
            except hvac.exceptions.InvalidPath:
                return ()
            versions = answer["data"]["versions"]
            readable = [int(n) for n, facts in versions.items() if not (facts["destroyed"] or facts["deletion_time"])]
            return tuple(sorted(readable))

        return await self._call(call, path, "versions")

    async def destroy(self, path: str) -> None:
        """Remove every version and the path itself. Nothing happens when there is nothing."""

        def call(adapter: JSONAdapter) -> None:
            KvV2(adapter).delete_metadata_and_all_versions(path, mount_point=self._mount)

        await self._call(call, path, "destroy")

    async def _call(self, function: Callable[[JSONAdapter], T], path: str, what: str) -> T:
        with trace.span(f"vault {what}", "client", path=kind(path)):
            return await self._attempted(function, path)

    async def _attempted(self, function: Callable[[JSONAdapter], T], path: str) -> T:
        try:
            async with asyncio.timeout(self._deadline):
                held = await self._logged_in()
                try:
                    return await self._in_thread(function, held.token, path)
                except VaultDenied:
                    held = await self._logged_in(instead_of=held)
                    return await self._in_thread(function, held.token, path)
        except TimeoutError:
            raise VaultUnavailable("deadline") from None

    async def _in_thread(self, function: Callable[[JSONAdapter], T], token: str | None, path: str) -> T:
        adapter = JSONAdapter(
            base_uri=self._address,
            token=token,
            timeout=SOCKET_TIMEOUT,
            session=self._session,
            namespace=self._namespace,
        )
        # `from None` throughout: the library's errors carry the response, and the traceback of a write its data.
        try:
            return await asyncio.to_thread(function, adapter)
        except (hvac.exceptions.Forbidden, hvac.exceptions.Unauthorized):
            raise VaultDenied("permission denied") from None
        except hvac.exceptions.InvalidRequest as error:
            texts = " ".join(error.errors or ())
            if CAS_MISMATCH in texts:
                raise VaultConflict(path) from None
            if UPGRADING in texts:
                raise VaultUnavailable("the mount is being upgraded") from None
            raise VaultError("vault_refused", f"Vault calls the request for {path} invalid.") from None
        except hvac.exceptions.InvalidPath:
            raise VaultError("vault_refused", f"Vault knows no {path}.") from None
        except hvac.exceptions.VaultError as error:
            raise VaultUnavailable(type(error).__name__) from None
        except requests.RequestException as error:
            raise VaultUnavailable(type(error).__name__) from None
        except (KeyError, TypeError, ValueError):
            raise VaultUnavailable("an answer that is not Vault's") from None

    async def _logged_in(self, instead_of: _Held | None = None) -> _Held:
        """A token that should work, and is not the one that was just refused."""
        async with self._login_lock:
            held = self._held
            if held is None or held is instead_of:
                held = await self._log_in(instead_of)
            elif held.lifetime and self._now() - held.at > held.lifetime * RENEW_AFTER:
                held = await self._renewed(held)
            else:
                held = self._of_another_file(held)
            self._held = held
            return held

    def _of_another_file(self, held: _Held) -> _Held:
        """The token's successor if its file has one; the same while the file is as it was, away, or half written."""
        mark = self._login.mark()
        if mark is None or mark == held.mark:
            return held
        try:
            given = self._login.next()
        except LoginUnreadable:
            return held
        return self._given(given, mark) if isinstance(given, GivenToken) else held

    async def _renewed(self, held: _Held) -> _Held:
        if not held.renewable or self._now() - held.at >= held.lifetime:
            return await self._log_in()
        try:
            renewed = await self._in_thread(self._renew, held.token, "auth/token/renew-self")
        except VaultDenied:
            return await self._log_in()
        # Close to its longest life a token is renewed for ever shorter times.
        return renewed if renewed.lifetime > held.lifetime / 2 else await self._log_in()

    async def _log_in(self, refused: _Held | None = None) -> _Held:
        mark = self._login.mark()
        following: Callable[[], Request | GivenToken] = self._login.next
        try:
            request = await asyncio.to_thread(following)
        except LoginUnreadable as error:
            raise VaultDenied(str(error)) from None
        if isinstance(request, GivenToken):
            if refused is not None and request.text == refused.token:
                raise VaultDenied("permission denied, and the token file has no other token")
            return self._given(request, mark)

        def post(adapter: JSONAdapter) -> _Held:
            return self._read_login(adapter.post(url=f"/v1/{request.path}", json=dict(request.body)))

        try:
            return await self._in_thread(post, None, request.path)
        except (VaultUnavailable, VaultDenied):
            raise
        except VaultError:
            raise VaultDenied(f"the login at {request.path} is not accepted") from None

    def _given(self, token: GivenToken, mark: Hashable) -> _Held:
        return _Held(token.text, 0.0, renewable=False, at=self._now(), mark=mark)

    def _renew(self, adapter: JSONAdapter) -> _Held:
        return self._read_login(Token(adapter).renew_self())

    def _read_login(self, answer: Mapping[str, Any]) -> _Held:
        auth = answer["auth"]
        return _Held(str(auth["client_token"]), float(auth["lease_duration"]), bool(auth["renewable"]), self._now())
