"""The settings of the zone for DNS-01: all of them or none, and no message shows the secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from control.settings import ControlSettings
from core.settings import complaints

BASE = {
    "NAMEPLATE_CONTROL_DATABASE_URL": "postgresql://nameplate_control@a/nameplate",
    "NAMEPLATE_API_DATABASE_URL": "postgresql://nameplate_api@a/nameplate",
    "NAMEPLATE_PLATFORM_DOMAIN": "platform.test",
    "NAMEPLATE_JWT_JWKS_FILE": "/jwks.json",
    "NAMEPLATE_JWT_ISSUER": "issuer",
    "NAMEPLATE_JWT_AUDIENCE": "audience",
    "NAMEPLATE_VAULT_ADDR": "http://127.0.0.1:8200",
    "NAMEPLATE_VAULT_ROLE_ID": "role",
    "NAMEPLATE_VAULT_SECRET_ID": "secret-id",
    "NAMEPLATE_ACME_DIRECTORY_URL": "https://127.0.0.1/dir",
}
ZONE = {
    "NAMEPLATE_ACME_DNS_ZONE": "Acme.Platform.test.",
    "NAMEPLATE_ACME_DNS_SERVER": "192.0.2.53:5353",
    "NAMEPLATE_ACME_DNS_TSIG_NAME": "nameplate-update",
    "NAMEPLATE_ACME_DNS_TSIG_SECRET": "aHVudGVyMg==",
}


def read(monkeypatch: pytest.MonkeyPatch, *environments: dict[str, str]) -> ControlSettings:
    for environment in environments:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
    return ControlSettings()  # type: ignore[call-arg]  # from the environment


def test_without_a_zone_it_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(monkeypatch, BASE)
    assert settings.acme_dns_zone is None
    assert settings.acme_dns_servers == ()


def test_what_is_right_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(monkeypatch, BASE, ZONE, {"NAMEPLATE_ACME_DNS_SERVERS": "192.0.2.1, [2001:db8::1]:5353"})
    assert settings.acme_dns_zone == "acme.platform.test"
    assert settings.acme_dns_servers == ("192.0.2.1", "[2001:db8::1]:5353")
    key = settings.acme_dns_key()
    assert (str(key.name), key.secret, str(key.algorithm)) == ("nameplate-update.", b"hunter2", "hmac-sha256.")
    assert "aHVudGVyMg" not in repr(settings)


def test_a_file_is_read_each_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    zone = {name: value for name, value in ZONE.items() if not name.endswith("SECRET")}
    settings = read(monkeypatch, BASE, zone, {"NAMEPLATE_ACME_DNS_TSIG_SECRET_FILE": str(file)})
    with pytest.raises(OSError, match="secret"):
        settings.acme_dns_key()
    for text, secret in [("b25l\n", b"one"), ("dHdv", b"two")]:
        file.write_text(text)
        assert settings.acme_dns_key().secret == secret


@pytest.mark.parametrize("missing", ["ZONE", "SERVER", "TSIG_NAME", "TSIG_SECRET"])
def test_a_part_alone_is_refused(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    part = {name: value for name, value in ZONE.items() if not name.endswith(f"DNS_{missing}")}
    with pytest.raises(ValidationError) as caught:
        read(monkeypatch, BASE, part)
    assert f"NAMEPLATE_ACME_DNS_{missing}" in "".join(complaints(caught.value))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ZONE", "not a zone"),
        ("ZONE", ".".join(["a" * 50] * 5)),
        ("SERVER", "ns.platform.test:53"),
        ("SERVER", "192.0.2.1:0"),
        ("SERVERS", "192.0.2.1, elsewhere"),
        ("TSIG_NAME", "a..b"),
        ("TSIG_SECRET", "hunter2 is no base64"),
        ("TSIG_SECRET", ""),
        ("TSIG_SECRET_FILE", "/run/secrets/tsig"),
        ("TSIG_ALGORITHM", "hmac-md5"),
    ],
)
def test_what_cannot_be_used_is_refused_and_the_secret_not_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        read(monkeypatch, BASE, ZONE, {f"NAMEPLATE_ACME_DNS_{name}": value})
    said = "".join(complaints(caught.value))
    assert said and "hunter2" not in said and "aHVudGVyMg" not in said
