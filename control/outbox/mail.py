"""One mail through the operator's SMTP server, and what came of it. Plain text, one recipient.

smtp://[user:password@]host[:587]    STARTTLS when the server offers it; with a password, never without it
smtps://[user:password@]host[:465]   TLS from the first byte
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as MAIL_POLICY
from email.utils import format_datetime
from urllib.parse import unquote, urlsplit

import aiosmtplib

from api.endpoints import AddressRefused
from control.outbox.addresses import parse_mail
from control.outbox.message import Answer, Failed, Message, Receiver, Taken

TIMEOUT = 15.0  # seconds for each command
MAX_SUBJECT = 200

_MAILBOX = re.compile(r"\s*(?:(?P<name>[^<>\r\n]*?)\s*<(?P<address>[^<>]+)>|(?P<bare>[^<>\s]+))\s*")


@dataclass(frozen=True, slots=True)
class SmtpServer:
    host: str
    port: int
    tls: bool
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> SmtpServer:
        """Raises ValueError, which quotes nothing of it."""
        problem = "must be smtp://USER:PASSWORD@HOST:PORT or smtps://…, with / ? # @ : of a password percent-encoded"
        try:
            url = urlsplit(text)
            port = url.port
        except ValueError:
            raise ValueError(problem) from None
        if url.scheme not in ("smtp", "smtps") or not url.hostname or url.path.strip("/") or url.query or url.fragment:
            raise ValueError(problem)
        if (url.username is None) != (url.password is None) or port == 0:
            raise ValueError(problem)
        tls = url.scheme == "smtps"
        user = None if url.username is None else unquote(url.username)
        password = None if url.password is None else unquote(url.password)
        return cls(url.hostname, port or (465 if tls else 587), tls, user, password)


@dataclass(frozen=True, slots=True)
class Sender:
    """`name`: as people see it, may be empty."""

    name: str
    address: str

    @classmethod
    def parse(cls, text: str) -> Sender:
        """From `a@b.example` or `Name <a@b.example>`. Raises ValueError."""
        found = _MAILBOX.fullmatch(text)
        name = ((found["name"] or "") if found else "").strip().strip('"')
        try:
            address = parse_mail((found["address"] or found["bare"]) if found else text)
        except AddressRefused:
            raise ValueError("must be name@example.com or Name <name@example.com>") from None
        if not name.isprintable():
            raise ValueError("has a control character in it")
        return cls(name, address)


class MailSender:
    """`trust`: of the server's TLS. `now`: for the Date."""

    def __init__(
        self,
        server: SmtpServer,
        sender: Sender,
        trust: ssl.SSLContext,
        now: Callable[[], datetime],
        timeout: float = TIMEOUT,
    ) -> None:
        self._server = server
        self._sender = sender
        self._trust = trust
        self._now = now
        self._timeout = timeout

    async def send(self, receiver: Receiver, message: Message) -> Answer:
        """Never raises for what a server does. What is wrong between it and us says nothing of the receiver."""
        try:
            address = parse_mail(receiver.address)
        except AddressRefused as error:
            return Failed(error.code, error.message, final=True)
        client = aiosmtplib.SMTP(
            hostname=self._server.host,
            port=self._server.port,
            username=self._server.user,
            password=self._server.password,
            use_tls=self._server.tls,
            # None: if it is offered. A password is never sent in the clear.
            start_tls=False if self._server.tls else True if self._server.password is not None else None,
            tls_context=self._trust,
            local_hostname=self._sender.address.rpartition("@")[2],  # else it asks the DNS for its own
            timeout=self._timeout,
        )
        try:
            async with client:
                await client.send_message(
                    compose(message, self._sender, address, self._now()),
                    sender=self._sender.address,
                    recipients=[address],
                )
        except aiosmtplib.SMTPRecipientsRefused as error:
            return _refused("recipient_refused", error.recipients[0].code)
        except aiosmtplib.SMTPDataError as error:
            return _refused("mail_refused", error.code)
        except aiosmtplib.SMTPResponseException as error:
            text = f"Our mail server refused us ({error.code})."
            return Failed("mail_server_refused", text, error.code, ours=True)
        except (aiosmtplib.SMTPException, OSError) as error:
            text = f"Our mail server could not be used ({type(error).__name__})."
            return Failed("mail_server_unavailable", text, ours=True)
        return Taken()


def _refused(code: str, status: int) -> Failed:
    """4xx passes, 5xx does not (RFC 5321 section 4.2.1). The server's own words may quote anything: left out."""
    return Failed(code, f"The mail was refused ({status}).", status, final=500 <= status < 600)


def compose(message: Message, sender: Sender, recipient: str, now: datetime) -> EmailMessage:
    """The mail; its Message-ID is the same at every attempt. Headers are built from parts, which cannot hold a CRLF."""
    mail = EmailMessage(policy=MAIL_POLICY)
    mail["From"] = Address(sender.name, addr_spec=sender.address)
    mail["To"] = Address(addr_spec=recipient)
    mail["Subject"] = message.subject()[:MAX_SUBJECT]
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = f"<{message.name}@{sender.address.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no automatic answers
    mail.set_content(message.text())
    return mail
