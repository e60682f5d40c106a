"""Mails through a real SMTP server."""

from __future__ import annotations

import asyncio
import email
import email.policy
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any
from uuid import uuid4

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope
from scenes.notifications import room

from control.outbox.admin import ADMIN_MAILBOX, ADMIN_WEBHOOK
from control.outbox.mail import MailSender, Sender, SmtpServer
from control.outbox.message import Failed, Message, Receiver, Taken
from embedded.localhost_tls import LocalhostTls
from embedded.ports import free_port

FROM = Sender.parse("Our Platform <noreply@platform.example>")


@dataclass
class MailServer:
    """Keeps the mails that it took. `rcpt`, `data`: what it says to each recipient and mail, if not yes."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    envelopes: list[Envelope] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)
    rcpt: str | None = None
    data: str | None = None

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Envelope, address: str, _options: Any) -> str:
        if self.rcpt is None:
            envelope.rcpt_tos.append(address)
        return self.rcpt or "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:
        if self.data is None:
            assert isinstance(envelope.content, bytes)
            mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
            self.mails.append(mail)  # type: ignore[arg-type]  # of this policy it is one
            self.envelopes.append(envelope)
        return self.data or "250 OK"

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"right")

    @asynccontextmanager
    async def serve(self, *, implicit: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[MailServer]:
        def make() -> SMTP:
            return SMTP(self, authenticator=self.authenticate, hostname="mail.test", **options)

        server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0, ssl=implicit)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()


@pytest.fixture
def tls(state_dir) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """→ the server's, the client's"""
    files = LocalhostTls.create(state_dir)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.certificate, files.key)
    files.key.unlink()  # no key stays on disk
    return server, ssl.create_default_context(cafile=str(files.authority))


@pytest.fixture
def make_sender(tls) -> Callable[..., MailSender]:
    def make(url: str, trust: ssl.SSLContext | None = None) -> MailSender:
        return MailSender(SmtpServer.parse(url), FROM, trust or tls[1], lambda: datetime.now(UTC), timeout=2)

    return make


def receiver(address: str = "owner@tenant.example") -> Receiver:
    return Receiver(uuid4(), "email", address, uuid4(), None)


def message(**payload: Any) -> Message:
    return Message(uuid4(), "domain.ssl_pause", uuid4(), uuid4(), payload, datetime.now(UTC))


async def test_a_mail_says_what_happened_in_plain_text(make_sender) -> None:
    async with MailServer().serve() as server:
        told = message(hostname="shop.example", message="The CAA records forbid it.", who="tenant")
        assert await make_sender(f"smtp://127.0.0.1:{server.port}").send(receiver(), told) == Taken()
    [mail], [envelope] = server.mails, server.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("noreply@platform.example", ["owner@tenant.example"])
    assert mail["Subject"] == "Certificates for shop.example are paused"
    assert mail["From"] == "Our Platform <noreply@platform.example>"
    assert mail["To"] == "owner@tenant.example"
    assert mail["Message-ID"] == f"<{told.name}@platform.example>"
    assert mail.get_content_type() == "text/plain"
    text = mail.get_content().replace("\r\n", "\n")
    assert "The CAA records forbid it.\nYou can mend it.\n" in text
    assert f"Domain: shop.example ({told.domain_id})" in text


async def test_a_payload_makes_neither_header_nor_recipient(make_sender) -> None:
    evil = "a.example\r\nBcc: victim@example.com\r\n\r\n.\r\nMAIL FROM:<x@y>"
    async with MailServer().serve() as server:
        sender = make_sender(f"smtp://127.0.0.1:{server.port}")
        assert await sender.send(receiver(), message(hostname=evil, message=evil, who="tenant")) == Taken()
        for address in ("a@b.example\r\nRCPT TO:<victim@example.com>", "a@b.example>,<c@d.example", "a"):
            failed = await sender.send(receiver(address), message(hostname="a.example"))
            assert isinstance(failed, Failed)
            assert failed.final
    [mail], [envelope] = server.mails, server.envelopes
    assert envelope.rcpt_tos == ["owner@tenant.example"]
    assert mail["Bcc"] is None


@pytest.mark.parametrize(
    ("answers", "code", "final"),
    [
        ({"rcpt": "450 try later"}, "recipient_refused", False),
        ({"rcpt": "550 no such user"}, "recipient_refused", True),
        ({"data": "451 try later"}, "mail_refused", False),
        ({"data": "554 it looks like spam, secret words"}, "mail_refused", True),
    ],
)
async def test_4xx_passes_and_5xx_does_not(make_sender, answers, code, final) -> None:
    async with MailServer(**answers).serve() as server:
        failed = await make_sender(f"smtp://127.0.0.1:{server.port}").send(receiver(), message(hostname="a.example"))
    assert isinstance(failed, Failed)
    assert (failed.code, failed.final, failed.ours) == (code, final, False)
    assert "secret" not in failed.message


async def test_a_server_that_is_away_is_no_fault_of_the_recipients(make_sender) -> None:
    failed = await make_sender(f"smtp://127.0.0.1:{free_port()}").send(receiver(), message(hostname="a.example"))
    assert isinstance(failed, Failed)
    assert (failed.code, failed.final, failed.ours) == ("mail_server_unavailable", False, True)


@pytest.mark.parametrize("implicit", [False, True])
async def test_with_tls_the_certificate_is_verified_and_a_password_is_sent(make_sender, tls, implicit) -> None:
    options: dict[str, Any] = {"implicit": tls[0]} if implicit else {"tls_context": tls[0]}
    scheme = "smtps" if implicit else "smtp"
    async with MailServer().serve(auth_require_tls=not implicit, **options) as server:
        url = f"{scheme}://me:right@127.0.0.1:{server.port}"
        assert await make_sender(url).send(receiver(), message(hostname="a.example")) == Taken()
        assert server.logins == [(b"me", b"right")]
        stranger = ssl.create_default_context()
        failed = await make_sender(url, stranger).send(receiver(), message(hostname="a.example"))
        assert isinstance(failed, Failed)
        assert failed.ours
        wrong = url.replace("right", "wrong")
        failed = await make_sender(wrong).send(receiver(), message(hostname="a.example"))
        assert isinstance(failed, Failed)
        assert (failed.ours, failed.final) == (True, False)
    assert len(server.mails) == 1


async def test_a_password_is_never_sent_in_the_clear(make_sender) -> None:
    async with MailServer().serve(auth_require_tls=False) as server:  # offers no STARTTLS
        url = f"smtp://me:right@127.0.0.1:{server.port}"
        failed = await make_sender(url).send(receiver(), message(hostname="a.example"))
    assert isinstance(failed, Failed)
    assert not server.logins
    assert not server.mails


async def test_mailboxes_get_what_is_worth_a_mail_and_are_tried_again(
    pool, vault_mount, make_sender, eventually
) -> None:
    async with MailServer(rcpt="450 later").serve() as server:
        senders = {"email": make_sender(f"smtp://127.0.0.1:{server.port}")}
        async with room(pool, vault_mount, senders=senders) as scene:
            _, tenant, _ = await scene.endpoint("owner@tenant.example", kind="email")
            domain = uuid4()
            await scene.happen(tenant, "domain.ssl_order", domain, hostname="a.example")
            await scene.happen(tenant, "domain.activate", domain, hostname="a.example")
            async with scene.running():

                async def tried():
                    return await scene.pool.fetchval("SELECT attempts FROM deliveries") == 1

                await eventually(tried)
                server.rcpt = None
                scene.pass_time(timedelta(seconds=6))
                [mail] = await eventually(lambda: server.mails)
    assert mail["Subject"] == "a.example is live"


async def test_the_admin_is_told_what_the_platform_must_mend(
    pool, vault_mount, make_sender, hooks, url, eventually
) -> None:
    async with MailServer().serve() as server:
        senders = {"email": make_sender(f"smtp://127.0.0.1:{server.port}")}
        admin = (url("/admin"), "ops@platform.example")
        async with room(pool, vault_mount, senders=senders, admin=admin) as scene:
            async with scene.running():

                async def registered():
                    return await scene.pool.fetchval("SELECT count(*) FROM notification_endpoints") == 2

                await eventually(registered)
                tenant, domain = uuid4(), uuid4()
                await scene.happen(tenant, "domain.ssl_error", domain, hostname="a.example", who="tenant")
                await scene.happen(
                    tenant, "domain.ssl_error", domain, hostname="a.example", who="operator", message="EAB is wrong."
                )
                await scene.happen(tenant, "domain.ssl_pause", domain, hostname="a.example")
                await scene.happen(None, "ca.out", ca="letsencrypt", until="2026-04-22T03:00:00Z")
                await eventually(lambda: len(hooks.at("/admin")) == 3)
                await eventually(lambda: len(server.mails) == 3)
            stored = await scene.vault.read(f"nameplate/notifications/{ADMIN_WEBHOOK}")
            assert stored is not None
            assert all(hook.verified_by(stored.data["secret"]) for hook in hooks.at("/admin"))
            # A replica with other settings: no more mails, and the same secret.
            async with scene.running(scene.another(admin=(url("/new"), None))):

                async def unset():
                    return await scene.pool.fetchval(
                        "SELECT disabled_code FROM notification_endpoints WHERE id = $1", ADMIN_MAILBOX
                    )

                assert await eventually(unset) == "unset"
            assert (await scene.vault.read(f"nameplate/notifications/{ADMIN_WEBHOOK}")) == stored
    assert {mail["Subject"] for mail in server.mails} == {
        "An attempt at a certificate for a.example failed",
        "Certificates for a.example are paused",
        "The CA letsencrypt is out",
    }
