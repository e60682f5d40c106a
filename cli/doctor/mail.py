"""The mail server: it takes us in, over TLS where there is a password. No mail is sent."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

import aiosmtplib

from cli.doctor.finding import Finding, found, well
from control.outbox.mail import SmtpServer
from control.outbox.settings import NotificationSettings

WHAT = "mail server"
WITHIN = 8.0


async def examine(settings: NotificationSettings) -> Sequence[Finding]:
    if settings.smtp_url is None:
        return [well(WHAT, "none, so no mails are sent")]
    server = SmtpServer.parse(settings.smtp_url.get_secret_value())
    try:
        trust = ssl.create_default_context(cafile=settings.smtp_ca_file)
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            use_tls=server.tls,
            start_tls=False if server.tls else True if server.password is not None else None,
            tls_context=trust,
            local_hostname=(settings.mail_from or "localhost").rpartition("@")[2].rstrip(">"),
            timeout=WITHIN,
        )
        async with client:
            await client.noop()
    except aiosmtplib.SMTPResponseException as error:
        # Not its words, which may quote what was sent.
        return [found("smtp_unusable", WHAT, f"it refuses us ({error.code})")]
    except (aiosmtplib.SMTPException, OSError) as error:
        reason = error.__cause__ or error
        told = reason.verify_message if isinstance(reason, ssl.SSLCertVerificationError) else type(error).__name__
        return [found("smtp_unusable", WHAT, f"it cannot be used ({told})")]
    return [well(WHAT, "takes us in" + (" with our password" if server.password else ""))]
