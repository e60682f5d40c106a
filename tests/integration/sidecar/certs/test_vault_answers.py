"""The Vault client when what answers is no Vault, or one that says strange things."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest
import structlog
from scenes.raw_http import CUT, HANG, RawServer, answer, chunked

from core.vault_login import AppRole
from sidecar.certs import vault as vault_module
from sidecar.certs.vault import Vault
from sidecar.certs.vault_answers import VaultDenied, VaultError, VaultNotFound, VaultUnavailable

SECRET_ID, TOKEN, KEY = "the-secret-id", "s.the-token", "the-private-key"
LOGIN = answer(json.dumps({"auth": {"client_token": TOKEN, "lease_duration": 3600, "renewable": True}}).encode())
RECORD = json.dumps({"data": {"data": {"key": KEY}, "metadata": {"version": 7}}}).encode()


def vault_at(server: RawServer) -> Vault:
    return Vault(
        f"http://127.0.0.1:{server.port}", mount="secret", login=AppRole("the-role", lambda: SECRET_ID)
    )  # fmt: skip


async def refusal(server: RawServer) -> VaultError:
    """Of one read, whose texts say nothing that was sent or received."""
    with structlog.testing.capture_logs() as events:
        async with vault_at(server) as vault:
            with pytest.raises(VaultError) as caught:
                await vault.read("nameplate/x", 7)
    said = f"{caught.value!r} {caught.value} {caught.value.__cause__!r} {events}"
    assert not any(secret in said for secret in (SECRET_ID, TOKEN, KEY))
    return caught.value


@pytest.mark.parametrize("octets", [answer(RECORD), chunked(RECORD[:9], RECORD[9:])])
async def test_a_record_is_read_however_it_is_framed(octets):
    async with RawServer.start([LOGIN], [octets]) as server, vault_at(server) as vault:
        record = await vault.read("nameplate/x", 7)
        assert (record.data, record.version) == ({"key": KEY}, 7)
        assert server.heads() == [
            "POST /v1/auth/approle/login HTTP/1.1",
            "GET /v1/secret/data/nameplate/x?version=7 HTTP/1.1",
        ]
        assert json.loads(server.requests[0][2]) == {"role_id": "the-role", "secret_id": SECRET_ID}
        assert f"X-Vault-Token: {TOKEN}\r\n" in server.requests[1][1]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>" + KEY.encode(),
        RECORD[:-1],
        RECORD + b"}",
        b"\xff" + RECORD,
        b"null",
        b"[]",
        b'"data"',
        b'{"data": null}',
        b'{"data": {"data": null, "metadata": {"version": 7}}}',
        b'{"data": {"data": "the-private-key", "metadata": {"version": 7}}}',
        b'{"data": {"data": {}}}',
        b'{"data": {"data": {}, "metadata": {"version": null}}}',
        b'{"data": {"data": {}, "metadata": {"version": Infinity}}}',
        b'{"data": {"data": {}, "metadata": {"version": %s}}}' % (b"9" * 9999),
        b"[" * 200_000,
    ],
    ids=lambda body: body[:60].decode("latin-1"),
)
async def test_a_body_that_is_no_record_is_unavailable(body):
    async with RawServer.start([LOGIN], [answer(body)]) as server:
        assert isinstance(await refusal(server), VaultUnavailable)


@pytest.mark.parametrize(
    "auth",
    [
        {},
        {"client_token": TOKEN, "renewable": True},
        {"client_token": f"{TOKEN}\r\nHost: x", "lease_duration": 1, "renewable": True},
        {"client_token": "", "lease_duration": 1, "renewable": True},
        {"client_token": TOKEN, "lease_duration": float("nan"), "renewable": True},
        {"client_token": TOKEN, "lease_duration": -1, "renewable": True},
    ],
)
async def test_a_login_without_a_usable_token_is_unavailable(auth):
    async with RawServer.start([answer(json.dumps({"auth": auth}).encode())]) as server:
        assert isinstance(await refusal(server), VaultUnavailable)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("400 x", VaultUnavailable),
        ("403 x", VaultDenied),
        ("404 x", VaultNotFound),
        ("429 x", VaultUnavailable),
        ("500 x", VaultUnavailable),
        ("503 x", VaultUnavailable),
        ("204 x", VaultUnavailable),
        ("307 x", VaultUnavailable),
    ],
)
async def test_a_status_has_its_meaning_whatever_the_body(status, kind):
    async with RawServer.start([LOGIN], [answer(RECORD if status != "204 x" else b"", status)]) as server:
        assert type(await refusal(server)) is kind


@pytest.mark.parametrize(
    "octets",
    [
        [answer(RECORD)[:-1], CUT],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + RECORD],
        [KEY.encode()],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n", *[b"x" * 65536] * 17],
    ],
    ids=["cut", "wrong length", "not HTTP", "huge"],
)
async def test_a_broken_answer_is_unavailable(octets):
    async with RawServer.start([LOGIN], octets) as server:
        assert isinstance(await refusal(server), VaultUnavailable)


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"])
async def test_an_answer_that_does_not_come_is_unavailable_in_time(begun, monkeypatch, time_scale, eventually):
    monkeypatch.setattr(vault_module, "REQUEST_DEADLINE", 0.2 * time_scale)
    async with RawServer.start([LOGIN], [begun, HANG]) as server:
        assert isinstance(await refusal(server), VaultUnavailable)
        await eventually(lambda: server.open == 0)


async def test_those_who_wait_for_a_login_that_fails_do_not_each_try_it(monkeypatch, time_scale):
    monkeypatch.setattr(vault_module, "HOLD_OFF", 10.0 * time_scale)
    async with RawServer.start([answer(b"", "503 x")]) as server, vault_at(server) as vault:
        failures = await asyncio.gather(*(vault.read("nameplate/x") for _ in range(10)), return_exceptions=True)
        assert {type(failure) for failure in failures} == {VaultUnavailable}
        assert server.heads() == ["POST /v1/auth/approle/login HTTP/1.1"]


async def test_a_connection_that_is_cut_once_costs_no_handshake():
    async with RawServer.start([LOGIN], [CUT], [answer(RECORD)]) as server, vault_at(server) as vault:
        assert (await vault.read("nameplate/x")).version == 7
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("octets", "outcome", "away"),
    [
        (answer(RECORD), "ok", False),
        (answer(b"", "404 Not Found"), "refused", False),
        (answer(b"", "503 Service Unavailable"), "later", True),
        (CUT, "no_answer", True),
    ],
    ids=["ok", "refused", "later", "no answer"],
)
async def test_it_counts_what_came_of_each_request(octets, outcome, away):
    async with RawServer.start([LOGIN], [octets], [octets]) as server, vault_at(server) as vault:
        assert (vault.answers, vault.away) == ({}, False)
        with contextlib.suppress(VaultError):
            await vault.read("nameplate/x", 7)
        assert vault.answers["ok"] == 1 + (outcome == "ok")
        assert vault.answers[outcome] >= 1
        assert sum(vault.answers.values()) == 2
        assert vault.answer_seconds > 0
        assert vault.away is away
