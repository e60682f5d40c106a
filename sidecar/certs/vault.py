"""Vault as the sidecar sees it: a core.vault_login and reading KV v2, nothing else."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

import structlog

from core import trace
from core.vault import kind
from core.vault_login import GivenToken, Login, LoginUnreadable
from sidecar.certs.connection import Answer, HttpError
from sidecar.certs.http import HttpClient
from sidecar.certs.vault_answers import (
    FORBIDDEN,
    OK,
    SAYS_LATER,
    Token,
    VaultDenied,
    VaultError,
    VaultRecord,
    VaultUnavailable,
    record_of,
    refusal_of,
    token_of,
)

REQUEST_DEADLINE: Final = 2.0  # seconds for one request; a handshake is waiting (sidecar.xds.resolver.ANSWER_DEADLINE)
READS: Final = 16  # at once, each on a connection of its own; more would only wait in Vault
# After a sign that Vault as a whole is away, reads fail at once for so long. It bounds what a queue of cold names
# costs Vault and their handshakes, and how long they go on failing when it is back.
HOLD_OFF: Final = 0.5
# A 403 for a token younger than this is about the policy: another login would not help.
TOKEN_PROVEN: Final = 1.0
RENEW_RETRY: Final = 1.0
HEADERS: Final = {"User-Agent": "nameplate-sidecar", "Accept": "application/json", "X-Vault-Request": "true"}

log = structlog.stdlib.get_logger(__name__)


class Vault:
    """A read-only client. It logs in when first needed; `run` keeps the token alive. Use `async with` to close it.

    `address`: without `/v1`. `login` is asked at each login, as a rotated secret may lie in a file.
    `ca_file`: PEM roots for an https address; None: the system's. `namespace`: of the mount and the login.
    """

    def __init__(
        self,
        address: str,
        *,
        mount: str,
        login: Login,
        ca_file: Path | None = None,
        namespace: str | None = None,
    ) -> None:
        self._data = f"{quote(mount)}/data"
        self._login = login
        self._headers = HEADERS if namespace is None else {**HEADERS, "X-Vault-Namespace": namespace}
        self._token: Token | None = None
        self._logging_in = asyncio.Lock()
        self._new_token = asyncio.Event()
        self._slots = asyncio.Semaphore(READS)
        self._away = False
        self._away_until = 0.0
        self.answers: Counter[str] = Counter()  # by what came of the request: ok, refused, later, no_answer
        self.answer_seconds = 0.0
        self._http = HttpClient(f"{address.rstrip('/')}/v1", ca_file=ca_file)

    @property
    def away(self) -> bool:
        """The last that was heard of it, or not heard."""
        return self._away

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def read(self, path: str, version: int | None = None) -> VaultRecord:
        """A KV v2 record; `path` as core.vault gives it, `version` None for the newest. Raises VaultError."""
        with trace.span("vault read", "client", path=kind(path)):
            return await self._read(path, version)

    async def _read(self, path: str, version: int | None) -> VaultRecord:
        async with self._slots:
            self._check_held_off()
            token = await self._current_token()
            response = await self._get(path, version, token)
            if response.status == FORBIDDEN:
                # The token may have expired or been revoked, which looks the same as a policy that says no.
                token = await self._newer_token(token)
                response = await self._get(path, version, token)
        if response.status == OK:
            return record_of(response)
        raise refusal_of(response, "read")

    async def run(self) -> None:
        """Renew the token, or log in anew, before it expires. Until cancelled; failures are logged and retried."""
        while True:
            self._new_token.clear()
            wait = self._token.renew_at - time.monotonic() if self._token is not None else None
            try:
                async with asyncio.timeout(wait):
                    await self._new_token.wait()
            except TimeoutError:
                await self._renew_or_login()

    async def _renew_or_login(self) -> None:
        token = self._token
        if token is None:
            return
        try:
            if not token.renewable or not await self._renew(token):
                await self._newer_token(token, proven=0.0)
        except VaultError as error:
            log.warning("vault_token_not_renewed", code=error.code, reason=error.message)
            await asyncio.sleep(RENEW_RETRY)

    async def _renew(self, token: Token) -> bool:
        """Whether the token lives on for long enough; it does not near its maximum lifetime."""
        response = await self._send("POST", "auth/token/renew-self", token=token, body={})
        if response.status == FORBIDDEN:
            return False
        if response.status != OK:
            raise refusal_of(response, "renew the token")
        renewed = token_of(response, time.monotonic())
        if renewed.lifetime and renewed.lifetime < token.lifetime / 2:
            return False
        self._token = renewed
        return True

    async def _current_token(self) -> Token:
        token = self._token
        if token is not None and time.monotonic() < token.expires_at:
            return self._of_another_file(token)
        return await self._newer_token(token)

    def _of_another_file(self, token: Token) -> Token:
        """The token's successor if its file has one; the same while the file is as it was, away, or half written."""
        mark = self._login.mark()
        if mark is None or mark == token.mark:
            return token
        try:
            given = self._login.next()
        except LoginUnreadable:
            return token
        return self._given(given, mark) if isinstance(given, GivenToken) else token

    def _given(self, given: GivenToken, mark: Hashable) -> Token:
        self._token = Token(given.text, 0.0, renewable=False, since=time.monotonic(), mark=mark)
        self._new_token.set()
        return self._token

    async def _newer_token(self, old: Token | None, *, proven: float = TOKEN_PROVEN) -> Token:
        """Log in, unless somebody did since `old` was current. Raises VaultError."""
        async with self._logging_in:
            token = self._token
            if token is not None and token is not old:
                return token
            self._check_held_off()  # by one that waited for the lock before us
            if token is not None and time.monotonic() - token.since < proven:
                raise VaultDenied("Vault's policy does not let the sidecar read this path.")
            mark = self._login.mark()
            try:
                request = self._login.next()
            except LoginUnreadable as error:
                self._hold_off(str(error))
                raise VaultDenied(f"The sidecar cannot log in: {error}.") from None
            if isinstance(request, GivenToken):
                if old is not None and request.text == old.text:
                    raise VaultDenied("Vault refuses the sidecar, and the token file has no other token.")
                return self._given(request, mark)
            response = await self._send("POST", request.path, body=request.body)
            if response.status != OK:
                self._hold_off(f"status {response.status} to the login")
                raise refusal_of(response, "log in")
            self._token = token_of(response, time.monotonic())
            self._new_token.set()
            return self._token

    async def _get(self, path: str, version: int | None, token: Token) -> Answer:
        query = "" if version is None else f"?version={version}"
        return await self._send("GET", f"{self._data}/{quote(path)}{query}", token=token)

    async def _send(
        self, method: str, path: str, *, token: Token | None = None, body: Mapping[str, str] | None = None
    ) -> Answer:
        """Raises VaultUnavailable, and holds off further reads, when Vault as a whole does not answer."""
        headers = dict(self._headers)
        content = b""
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body).encode()
        if token is not None:
            headers["X-Vault-Token"] = token.text
        started = time.perf_counter()
        outcome = "no_answer"
        try:
            async with asyncio.timeout(REQUEST_DEADLINE):
                response = await self._http.request(method, path, headers, content)
            later = response.status in SAYS_LATER
            outcome = "ok" if response.status == OK else "later" if later else "refused"
        except (HttpError, TimeoutError) as error:
            self._hold_off(type(error).__name__)
            raise VaultUnavailable(f"Vault did not answer ({type(error).__name__}).") from None
        finally:
            self.answers[outcome] += 1
            self.answer_seconds += time.perf_counter() - started
        if response.status in SAYS_LATER:
            self._hold_off(f"status {response.status}")
            raise VaultUnavailable(f"Vault answered {response.status}.")
        if self._away:
            self._away = False
            log.info("vault_back")
        return response

    def _check_held_off(self) -> None:
        if time.monotonic() < self._away_until:
            raise VaultUnavailable("Vault did not answer, or refused the login, a moment ago.")

    def _hold_off(self, reason: str) -> None:
        self._away_until = time.monotonic() + HOLD_OFF
        if not self._away:
            self._away = True
            log.warning("vault_away", reason=reason)
