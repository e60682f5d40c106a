from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from control.outbox.mail import Sender, SmtpServer, compose
from control.outbox.message import Message
from control.outbox.settings import NotificationSettings
from core.settings import PREFIX, complaints

NOW = datetime(2026, 4, 22, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("smtp://mail.example", SmtpServer("mail.example", 587, False)),
        ("smtps://mail.example", SmtpServer("mail.example", 465, True)),
        ("smtp://mail.example:25/", SmtpServer("mail.example", 25, False)),
        ("smtp://me:p%40ss%2F@[::1]:2525", SmtpServer("::1", 2525, False, "me", "p@ss/")),
    ],
)
def test_smtp_urls(text, server) -> None:
    assert SmtpServer.parse(text) == server


NO_URLS = """mail.example http://mail.example smtp:// smtp://me@mail.example smtp://mail.example/x smtp://mail.example:0
    smtp://mail.example:x smtp://a:secret@b:99999"""


@pytest.mark.parametrize("text", ["", *NO_URLS.split()])
def test_what_is_no_smtp_url_is_refused_without_quoting_it(text) -> None:
    with pytest.raises(ValueError, match="must be smtp") as refused:
        SmtpServer.parse(text)
    assert "secret" not in str(refused.value)


def test_senders() -> None:
    assert Sender.parse("a@b.example") == Sender("", "a@b.example")
    assert Sender.parse("Our Platform <a@b.example>") == Sender("Our Platform", "a@b.example")
    assert Sender.parse('"Our, Platform" <a@b.example>') == Sender("Our, Platform", "a@b.example")
    for text in ("", "a", "a@b.example\nBcc: c@d.example", "A\r\nX: y <a@b.example>", "<a@b.example", "a b@c.example"):
        with pytest.raises(ValueError, match=r"must be|control"):
            Sender.parse(text)


@given(st.text(), st.text())
def test_no_payload_makes_a_header(hostname, finding) -> None:
    message = Message(
        uuid4(), "domain.ssl_pause", None, None, {"hostname": hostname, "message": finding, "who": "tenant"}, NOW
    )
    mail = compose(message, Sender("Us", "us@platform.example"), "them@tenant.example", NOW)
    head = bytes(mail).split(b"\r\n\r\n")[0].decode()
    names = {line.partition(":")[0] for line in head.split("\r\n") if not line.startswith((" ", "\t"))}
    assert names == {
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "Auto-Submitted",
        "Content-Type",
        "Content-Transfer-Encoding",
        "MIME-Version",
    }
    assert mail["Message-ID"] == f"<{message.name}@platform.example>"


def settings(monkeypatch: pytest.MonkeyPatch, **values: str) -> NotificationSettings:
    for name, value in values.items():
        monkeypatch.setenv(PREFIX + name, value)

    class Settings(NotificationSettings):
        model_config = SettingsConfigDict(env_prefix=PREFIX)

    return Settings()


def test_settings_are_read(monkeypatch) -> None:
    found = settings(
        monkeypatch,
        SMTP_URL="smtp://mail.example",
        MAIL_FROM="Us <us@platform.example>",
        WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8, fd00::/8",
        ADMIN_EMAIL="ops@Platform.example",
        ADMIN_WEBHOOK_URL="https://ops.platform.example/hook",
    )
    assert [str(network) for network in found.webhook_allowed_networks] == ["127.0.0.0/8", "fd00::/8"]
    assert found.admin_email == "ops@platform.example"
    assert "mail.example" not in repr(found.smtp_url)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"SMTP_URL": "smtp://a:secret@b:99999", "MAIL_FROM": "a@b.example"}, "NAMEPLATE_SMTP_URL: must be smtp"),
        ({"SMTP_URL": "smtp://mail.example"}, "set both or neither"),
        ({"ADMIN_EMAIL": "a@b.example"}, "NAMEPLATE_ADMIN_EMAIL needs"),
        ({"ADMIN_EMAIL": "a"}, "NAMEPLATE_ADMIN_EMAIL: "),
        ({"ADMIN_WEBHOOK_URL": "http://a.example/"}, "NAMEPLATE_ADMIN_WEBHOOK_URL: "),
        ({"WEBHOOK_ALLOWED_NETWORKS": "10.0.0.1/8"}, "NAMEPLATE_WEBHOOK_ALLOWED_NETWORKS"),
    ],
)
def test_bad_settings_are_complained_of_by_name(monkeypatch, values, complaint) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(monkeypatch, **values)
    assert any(line.startswith(complaint) for line in complaints(refused.value)), complaints(refused.value)
    assert "secret" not in "".join(complaints(refused.value))
