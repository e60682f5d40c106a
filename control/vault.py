"""Control's side of Vault (HashiCorp Vault or OpenBao): KV version 2 with check-and-set, behind an AppRole login.

    VaultError
    ├── VaultUnavailable   no answer in time, sealed, standby, 429, 5xx: the same call may work later
    ├── VaultDenied        the login or the policy refuses; an operator has to act
    └── VaultConflict      check-and-set: somebody else wrote first

hvac is synchronous, so each call runs in a thread, with a deadline. The token is renewed when two thirds of its life
are over, on use; one that is refused is replaced by a new login, once a call. No error carries what was sent or read.
Source: https://openbao.org/api-docs/secret/kv/kv-v2/
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, NamedTuple, Self, TypeVar

import hvac.exceptions
import requests
from hvac.adapters import JSONAdapter
from hvac.api.auth_methods import AppRole, Token
from hvac.api.secrets_engines import KvV2

from core.errors import NameplateError
from core.settings import VaultSettings

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
class _Login:
    token: str = field(repr=False)
    lifetime: float  # seconds; 0: the token does not expire
    renewable: bool
    at: float  # when it was made or renewed, by the clock of its Vault


class Vault:
    """`address`: base URL, without `/v1`. Paths are without mount, as core.vault builds them. Close it at the end.

    `secret_id` is asked at each login, so that a rotated one is taken up without a restart. `now`: seconds.
    """

    def __init__(
        self,
        address: str,
        mount: str,
        role_id: str,
        secret_id: Callable[[], str],
        ca_file: str | None = None,
        deadline: float = DEADLINE,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._mount = mount
        self._role_id = role_id
        self._secret_id = secret_id
        self._deadline = deadline
        self._now = now
        self._login: _Login | None = None
        self._login_lock = asyncio.Lock()
        self._session = requests.Session()
        # Neither a proxy nor a CA bundle from the environment: the settings say what is used.
        self._session.trust_env = False
        self._session.verify = ca_file or True
        self._address = address.rstrip("/")

    @classmethod
    def of(cls, settings: VaultSettings) -> Self:
        ca_file = str(settings.vault_ca_file) if settings.vault_ca_file else None
        return cls(settings.vault_addr, settings.vault_mount, settings.vault_role_id, settings.secret_id, ca_file)

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

        return await self._call(call, path)

    async def write(self, path: str, data: Mapping[str, Any], *, cas: int) -> int:
        """Write if the path's current version is `cas` (0: nothing there yet). Return the new version.

        Raises VaultConflict if it is another. After VaultUnavailable the write may or may not have happened.
        """

        def call(adapter: JSONAdapter) -> int:
            answer = KvV2(adapter).create_or_update_secret(path, dict(data), cas=cas, mount_point=self._mount)
            return int(answer["data"]["version"])

        return await self._call(call, path)

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

        return await self._call(call, path)

    async def destroy(self, path: str) -> None:
        """Remove every version and the path itself. Nothing happens when there is nothing."""

        def call(adapter: JSONAdapter) -> None:
            KvV2(adapter).delete_metadata_and_all_versions(path, mount_point=self._mount)

        await self._call(call, path)

    async def _call(self, function: Callable[[JSONAdapter], T], path: str) -> T:
        try:
            async with asyncio.timeout(self._deadline):
                login = await self._logged_in()
                try:
                    return await self._in_thread(function, login.token, path)
                except VaultDenied:
                    login = await self._logged_in(instead_of=login)
                    return await self._in_thread(function, login.token, path)
        except TimeoutError:
            raise VaultUnavailable("deadline") from None

    async def _in_thread(self, function: Callable[[JSONAdapter], T], token: str | None, path: str) -> T:
        adapter = JSONAdapter(base_uri=self._address, token=token, timeout=SOCKET_TIMEOUT, session=self._session)
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

    async def _logged_in(self, instead_of: _Login | None = None) -> _Login:
        """A token that should work, and is not the one that was just refused."""
        async with self._login_lock:
            login = self._login
            if login is None or login is instead_of:
                login = await self._log_in()
            elif login.lifetime and self._now() - login.at > login.lifetime * RENEW_AFTER:
                login = await self._renewed(login)
            self._login = login
            return login

    async def _renewed(self, login: _Login) -> _Login:
        if not login.renewable or self._now() - login.at >= login.lifetime:
            return await self._log_in()
        try:
            renewed = await self._in_thread(self._renew, login.token, "auth/token/renew-self")
        except VaultDenied:
            return await self._log_in()
        # Close to its longest life a token is renewed for ever shorter times.
        return renewed if renewed.lifetime > login.lifetime / 2 else await self._log_in()

    async def _log_in(self) -> _Login:
        try:
            return await self._in_thread(self._approle, None, "auth/approle/login")
        except (VaultUnavailable, VaultDenied):
            raise
        except VaultError:
            raise VaultDenied("the AppRole login is not accepted") from None

    def _approle(self, adapter: JSONAdapter) -> _Login:
        try:
            secret_id = self._secret_id()
        except (OSError, UnicodeDecodeError) as error:
            raise VaultDenied(f"its secret id cannot be read: {type(error).__name__}") from None
        return self._read_login(AppRole(adapter).login(self._role_id, secret_id, use_token=False))

    def _renew(self, adapter: JSONAdapter) -> _Login:
        return self._read_login(Token(adapter).renew_self())

    def _read_login(self, answer: Mapping[str, Any]) -> _Login:
        auth = answer["auth"]
        return _Login(str(auth["client_token"]), float(auth["lease_duration"]), bool(auth["renewable"]), self._now())
