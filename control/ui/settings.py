"""The settings of the pages: where they are reached, and whose they look like."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, FilePath, model_validator
from pydantic_settings import BaseSettings

from api.ui.brand import DEFAULT_ACCENT, Brand, Logo, parse_color

MAX_LOGO = 64 * 1024  # bytes
MAX_NAME = 40
PNG = b"\x89PNG\r\n\x1a\n"


def color(value: str) -> str:
    parse_color(value)
    return value.lower()


def web_page(value: str) -> str:
    """Of the platform: where a browser is sent."""
    url = _split(value)
    if url.scheme != "https" and not (url.scheme == "http" and _is_loopback(url.hostname)):
        raise ValueError("must begin with https://")
    return value


def origin(value: str) -> str:
    """https://HOST[:PORT], as browsers write it; http on loopback, where browsers trust it."""
    url = _split(value)
    if url.path.strip("/") or url.query or url.fragment or url.username is not None:
        raise ValueError("must be https://HOST or https://HOST:PORT, without a path")
    web_page(value)
    default = {"https": 443, "http": 80}[url.scheme]
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    return f"{url.scheme}://{host}" + ("" if url.port in (None, default) else f":{url.port}")


class UiSettings(BaseSettings):
    ui_url: Annotated[str, AfterValidator(origin)] | None = Field(
        None,
        description="Where browsers reach the pages, as `https://domains.platform.io`: a name of the platform's own, "
        "with its TLS in front. Without it there are no pages.",
    )
    ui_name: str = Field(
        "Nameplate", min_length=1, max_length=MAX_NAME, description="Whose pages they are, as their visitors know it."
    )
    ui_logo_file: FilePath | None = Field(None, description="An SVG or PNG of at most 64 KB, shown 28 pixels high.")
    ui_accent_color: Annotated[str, AfterValidator(color)] = Field(
        DEFAULT_ACCENT,
        description="`#rrggbb`, of buttons and links; darkened or lightened where it could not be read.",
    )
    ui_return_url: Annotated[str, AfterValidator(web_page)] | None = Field(
        None, description="Where the platform's own pages are, and a person finds a new link to these."
    )
    ui_support_url: Annotated[str, AfterValidator(web_page)] | None = Field(
        None, description="Where the platform's people help."
    )

    @model_validator(mode="after")
    def _readable_logo(self) -> Self:
        self.brand()
        return self

    @property
    def ui_host(self) -> str | None:
        """The name where the pages are reached, if it is one that somebody could register."""
        host = urlsplit(self.ui_url or "").hostname
        return None if host in (None, "localhost") or _is_address(host) else host

    def brand(self) -> Brand:
        """Raises ValueError and OSError for a logo that is none."""
        logo = None if self.ui_logo_file is None else _logo(self.ui_logo_file)
        return Brand(self.ui_name, self.ui_accent_color, logo, self.ui_return_url, self.ui_support_url)


def _logo(path: Path) -> Logo:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"NAMEPLATE_UI_LOGO_FILE cannot be read: {type(error).__name__}") from None
    if len(content) > MAX_LOGO:
        raise ValueError(f"NAMEPLATE_UI_LOGO_FILE has more than {MAX_LOGO // 1024} KB")
    if content.startswith(PNG):
        return Logo(content, "image/png")
    if b"<svg" in content[:4096]:
        return Logo(content, "image/svg+xml")
    raise ValueError("NAMEPLATE_UI_LOGO_FILE is neither SVG nor PNG")


def _split(value: str) -> SplitResult:
    try:
        url = urlsplit(value)
        port = url.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if not url.hostname or port == 0 or any(ord(letter) <= 32 or ord(letter) > 126 for letter in value):
        raise ValueError("is not a URL")
    return url


def _is_address(host: str | None) -> bool:
    try:
        ipaddress.ip_address(host or "")
    except ValueError:
        return False
    return True


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
