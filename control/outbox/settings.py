"""The settings of notifications: how mails go out, what webhooks may be sent to, where the admin hears of things."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, FilePath, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode

from api.endpoints import AddressRefused
from control.outbox.addresses import parse_mail, parse_url
from control.outbox.mail import Sender, SmtpServer


def readable_server(value: SecretStr) -> SecretStr:
    SmtpServer.parse(value.get_secret_value())
    return value


def readable_sender(value: str) -> str:
    Sender.parse(value)
    return value


def mail_address(value: str) -> str:
    try:
        return parse_mail(value)
    except AddressRefused as error:
        raise ValueError(error.message) from None


class NotificationSettings(BaseSettings):
    smtp_url: Annotated[SecretStr, AfterValidator(readable_server)] | None = Field(
        None, description="smtp:// (STARTTLS) or smtps://USER:PASSWORD@HOST:PORT for mails; without it none are sent."
    )
    smtp_ca_file: FilePath | None = Field(None, description="Trust for its TLS; default: the system's.")
    mail_from: Annotated[str, AfterValidator(readable_sender)] | None = Field(
        None, description="The sender of mails: name@example.com or Name <name@example.com>."
    )
    webhook_allowed_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = Field(
        (), description="Networks, as 10.1.0.0/16, that webhooks may be sent to though they are not public."
    )
    webhook_allow_http: bool = Field(False, description="Webhooks without TLS, for development.")
    webhook_ca_file: FilePath | None = Field(None, description="Trust for webhooks' TLS; default: the system's.")
    admin_email: Annotated[str, AfterValidator(mail_address)] | None = Field(
        None, description="Who is told by mail what the platform must act on."
    )
    admin_webhook_url: str | None = Field(None, description="The same by webhook; its signing secret is in Vault.")

    @field_validator("webhook_allowed_networks", mode="before")
    @classmethod
    def _networks(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _whole_mail(self) -> Self:
        if (self.smtp_url is None) != (self.mail_from is None):
            raise ValueError("set both or neither of NAMEPLATE_SMTP_URL and NAMEPLATE_MAIL_FROM")
        if self.admin_email is not None and self.smtp_url is None:
            raise ValueError("NAMEPLATE_ADMIN_EMAIL needs NAMEPLATE_SMTP_URL")
        if self.admin_webhook_url is not None:
            try:
                allowed = self.webhook_allowed_networks
                parse_url(self.admin_webhook_url, insecure=self.webhook_allow_http, allowed=allowed)
            except AddressRefused as error:
                raise ValueError(f"NAMEPLATE_ADMIN_WEBHOOK_URL: {error.message}") from None
        return self
