"""The settings of the pages: where they are, and what they look like."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from control.ui.settings import MAX_LOGO, UiSettings


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ("https://domains.platform.io", "https://domains.platform.io"),
        ("https://Domains.platform.io/", "https://domains.platform.io"),
        ("https://domains.platform.io:443", "https://domains.platform.io"),
        ("https://domains.platform.io:8443/", "https://domains.platform.io:8443"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://localhost:80", "http://localhost"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_an_address_becomes_the_origin_that_browsers_send(given: str, origin: str) -> None:
    assert UiSettings(ui_url=given).ui_url == origin


@pytest.mark.parametrize(
    ("given", "host"),
    [
        (None, None),
        ("https://Domains.platform.io:8443", "domains.platform.io"),
        ("http://127.0.0.1:8080", None),
        ("http://[::1]:8080", None),
        ("http://localhost", None),
    ],
)
def test_its_name_is_nobody_else_s_to_register(given: str | None, host: str | None) -> None:
    assert UiSettings(ui_url=given).ui_host == host


@pytest.mark.parametrize(
    "given",
    [
        "http://domains.platform.io",
        "https://domains.platform.io/pages",
        "https://domains.platform.io/?a",
        "https://user@domains.platform.io",
        "https://:8080",
        "https://a:99999",
        "https://a b",
        "https://bücher.example",
        "ftp://domains.platform.io",
        "domains.platform.io",
        "",
    ],
)
def test_what_is_no_origin_is_refused(given: str) -> None:
    with pytest.raises(ValidationError):
        UiSettings(ui_url=given)


@pytest.mark.parametrize("given", ["javascript:alert(1)", "http://platform.io/account", "//platform.io", "https://"])
def test_a_link_leads_to_a_web_page(given: str) -> None:
    for name in ("ui_return_url", "ui_support_url"):
        with pytest.raises(ValidationError):
            UiSettings(**{name: given})


def test_without_settings_there_are_no_pages_and_our_own_look() -> None:
    settings = UiSettings()
    assert settings.ui_url is None
    assert (settings.brand().name, settings.brand().logo) == ("Nameplate", None)


@pytest.mark.parametrize(
    ("content", "media_type"),
    [(b"\x89PNG\r\n\x1a\n...", "image/png"), (b"<?xml version='1.0'?><svg/>", "image/svg+xml")],
)
def test_a_logo_is_what_it_contains(tmp_path: Path, content: bytes, media_type: str) -> None:
    file = tmp_path / "logo"
    file.write_bytes(content)
    logo = UiSettings(ui_logo_file=file).brand().logo
    assert logo is not None
    assert (logo.content, logo.media_type) == (content, media_type)


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"<svg>" + b" " * MAX_LOGO])
def test_what_is_no_logo_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "logo").write_bytes(content)
    with pytest.raises(ValidationError, match="NAMEPLATE_UI_LOGO_FILE"):
        UiSettings(ui_logo_file=tmp_path / "logo")


def test_a_colour_is_checked() -> None:
    assert UiSettings(ui_accent_color="#00FF7F").brand().accent == "#00ff7f"
    with pytest.raises(ValidationError, match="colour"):
        UiSettings(ui_accent_color="green")
