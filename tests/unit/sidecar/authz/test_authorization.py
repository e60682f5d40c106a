"""What happens to a check that memory cannot answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from scenes.edges import edges

from sidecar.authz.authorization import Authorization
from sidecar.authz.check import LISTENER, Checker
from sidecar.directory.entry import Entry, Unknown
from sidecar.directory.errors import Refused, Unavailable
from sidecar.wire.check_pb2 import CheckRequest, CheckResponse

TENANT, DOMAIN = "7b0f2a52-6a9c-4f0c-9a51-000000000001", "d0000000-0000-0000-0000-000000000001"
SHOP = Entry("shop.test", TENANT, DOMAIN, True, "ab" * 32, 1, 2e9, False)


class Memory:
    """Names and tokens that become known by a load, from what `there` holds; `forgetful`: or do not."""

    def __init__(self, *, forgetful: bool = False, error: Exception | None = None, slow: bool = False) -> None:
        self.there: dict[str, Entry | str] = {"shop.test": SHOP, "token": "token.thumb"}
        self.known: dict[str, Entry | str] = {}
        self.loads: list[str] = []
        self._forgetful, self._error, self._slow = forgetful, error, slow

    async def load(self, key: str):
        self.loads.append(key)
        if self._error is not None:
            raise self._error
        if self._slow:
            await asyncio.Event().wait()
        found = self.there.get(key)
        if found is not None and not self._forgetful:
            self.known[key] = found
        return found


class Names(Memory):
    stale = False

    def lookup(self, host: str) -> Entry | Unknown:
        found = self.known.get(host)
        return found if isinstance(found, Entry) else Unknown.MISS


class Tokens(Memory):
    def lookup(self, token: str) -> str | None:
        found = self.known.get(token)
        return found if isinstance(found, str) else None


def secure(host: str, sni: str | None = None) -> bytes:
    request = CheckRequest()
    request.attributes.request.http.host = host
    request.attributes.tls_session.sni = host if sni is None else sni
    return request.SerializeToString()


def challenge(token: str) -> bytes:
    request = CheckRequest()
    request.attributes.request.http.path = b"/.well-known/acme-challenge/" + token.encode()
    request.attributes.context_extensions[LISTENER] = "http"
    return request.SerializeToString()


async def ask(names: Names, tokens: Tokens, request: bytes) -> int:
    """The status; 0 for OK."""
    reply = Authorization(Checker(names, tokens, edges(), bytes), names, tokens).check(request)
    response = CheckResponse.FromString(reply if isinstance(reply, bytes) else await reply)
    return response.denied_response.status.code if response.HasField("denied_response") else response.status.code


@pytest.fixture
def short_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.authz.authorization.LOAD_DEADLINE", 0.01)


def connection(sni: str) -> bytes:
    request = CheckRequest()
    request.attributes.tls_session.sni = sni
    return request.SerializeToString()


async def test_a_miss_is_awaited_and_a_hit_is_answered_at_once():
    names, tokens = Names(), Tokens()
    authorization = Authorization(Checker(names, tokens, edges(), bytes), names, tokens)
    miss = authorization.check(secure("shop.test"))
    assert not isinstance(miss, bytes)
    loaded = await miss
    assert authorization.check(secure("shop.test")) == loaded


async def test_a_connection_waits_for_its_name_too():
    names = Names()
    assert await ask(names, Tokens(), connection("shop.test")) == 0
    assert await ask(names, Tokens(), connection("nobody.test")) == 403
    assert await ask(Names(error=Unavailable()), Tokens(), connection("shop.test")) == 503


async def test_a_name_is_loaded_once_and_then_known():
    names = Names()
    assert await ask(names, Tokens(), secure("shop.test")) == 0
    assert await ask(names, Tokens(), secure("shop.test")) == 0
    assert names.loads == ["shop.test"]


async def test_a_name_that_does_not_exist_gets_the_page_after_one_load():
    names = Names()
    assert await ask(names, Tokens(), secure("nobody.test")) == 404
    assert names.loads == ["nobody.test"]


async def test_host_and_sni_are_both_loaded():
    names = Names()
    assert await ask(names, Tokens(), secure("shop.test", "nobody.test")) == 421
    assert names.loads == ["shop.test", "nobody.test"]


async def test_a_token_is_loaded_once_and_then_known_or_not_found():
    tokens = Tokens()
    assert await ask(Names(), tokens, challenge("token")) == 200
    assert await ask(Names(), tokens, challenge("other")) == 404
    assert tokens.loads == ["token", "other"]


@pytest.mark.parametrize("error", [Unavailable, Refused])
async def test_what_cannot_be_loaded_is_refused_as_unavailable(error: Callable[[], Exception]):
    assert await ask(Names(error=error()), Tokens(), secure("shop.test")) == 503
    assert await ask(Names(), Tokens(error=error()), challenge("token")) == 503


async def test_a_load_that_takes_too_long_is_refused_as_unavailable(short_deadline):
    assert await ask(Names(slow=True), Tokens(), secure("shop.test")) == 503
    assert await ask(Names(), Tokens(slow=True), challenge("token")) == 503


async def test_a_name_that_memory_drops_again_is_not_loaded_for_ever():
    names = Names(forgetful=True)
    assert await ask(names, Tokens(), secure("shop.test")) == 503
    assert len(names.loads) == 3
