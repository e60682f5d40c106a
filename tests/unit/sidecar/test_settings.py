from __future__ import annotations

import socket
from pathlib import Path

import pytest
from pydantic import ValidationError

from sidecar.listen import TcpAddress, UnixAddress
from sidecar.settings import SettingsError, SidecarSettings, read_settings
from sidecar.xds.resources.plan import ListenerPlan

NEEDED = {
    "NAMEPLATE_SIDECAR_DATABASE_URL": "postgresql://nameplate_sidecar:hunter2@db/nameplate",
    "NAMEPLATE_PLATFORM_DOMAIN": "platform.io",
    "NAMEPLATE_VAULT_ADDR": "https://vault:8200",
    "NAMEPLATE_VAULT_ROLE_ID": "role",
    "NAMEPLATE_VAULT_SECRET_ID": "hunter3",
}


@pytest.fixture
def environment(monkeypatch):
    for name in NEEDED:
        monkeypatch.delenv(name, raising=False)

    def set_all(**changes: str | None) -> None:
        for name, value in {**NEEDED, **changes}.items():
            if value is not None:
                monkeypatch.setenv(name, value)

    return set_all


def test_what_is_needed_is_enough(environment):
    environment()
    settings = read_settings()
    assert settings.platform_domain == "platform.io"
    assert settings.vault_login().next().body == {"role_id": "role", "secret_id": "hunter3"}
    assert settings.tls() is None
    assert settings.check_address == UnixAddress(Path("/run/nameplate/check.sock"))
    assert settings.xds_address == UnixAddress(Path("/run/nameplate/xds.sock"))
    assert settings.admin_listen == TcpAddress("127.0.0.1", 9902)
    assert settings.directory_capacity == 2_000_000
    assert settings.misses_per_second == 200
    assert settings.sidecar_id


def test_a_restarted_sidecar_has_the_same_name_and_another_of_the_host_has_its_own(environment):
    environment()
    name = read_settings().sidecar_id
    assert name == f"{socket.gethostname()}:9902"
    environment(NAMEPLATE_ADMIN_LISTEN="127.0.0.1:9903")
    assert read_settings().sidecar_id == f"{socket.gethostname()}:9903"
    environment(NAMEPLATE_SIDECAR_ID="edge-1")
    assert read_settings().sidecar_id == "edge-1"


def test_settings_cannot_be_changed(environment):
    environment()
    with pytest.raises(ValidationError):
        read_settings().vault_mount = "other"


def test_no_secret_shows(environment):
    environment()
    assert "hunter" not in repr(read_settings())


def test_every_setting_that_is_missing_is_named(environment):
    environment(NAMEPLATE_PLATFORM_DOMAIN=None, NAMEPLATE_VAULT_ADDR=None)
    with pytest.raises(SettingsError) as refusal:
        read_settings()
    assert sorted(refusal.value.message.splitlines()) == [
        "NAMEPLATE_PLATFORM_DOMAIN is not set",
        "NAMEPLATE_VAULT_ADDR is not set",
    ]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("NAMEPLATE_PLATFORM_DOMAIN", "platform", "not a hostname"),
        ("NAMEPLATE_PLATFORM_DOMAIN", "*.platform.io", "not a hostname"),
        ("NAMEPLATE_VAULT_ADDR", "vault:8200", "pattern"),
        ("NAMEPLATE_CHECK_ADDRESS", "unix:check.sock", "absolute"),
        ("NAMEPLATE_XDS_ADDRESS", "9000", "HOST:PORT"),
        ("NAMEPLATE_ADMIN_LISTEN", "unix:/run/admin.sock", "HOST:PORT"),
        ("NAMEPLATE_STATE_DIR", "state", "absolute"),
        ("NAMEPLATE_TLS_KEY_FILE", "/nowhere/key.pem", "file"),
        ("NAMEPLATE_VAULT_CA_FILE", "/nowhere/ca.pem", "file"),
        ("NAMEPLATE_DIRECTORY_CAPACITY", "0", "greater"),
        ("NAMEPLATE_SIDECAR_DATABASE_URL", "postgresql://u:hunter2/rest@host/db", "postgresql://USER"),
        ("NAMEPLATE_MISSES_PER_SECOND", "many", "integer"),
        ("NAMEPLATE_LOG_LEVEL", "loud", "pattern"),
    ],
)
def test_a_value_that_cannot_be_used_is_explained_by_its_name(environment, name, value, text):
    environment(**{name: value})
    with pytest.raises(SettingsError) as refusal:
        read_settings()
    assert refusal.value.message.startswith(f"{name}: ")
    assert text in refusal.value.message


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"NAMEPLATE_VAULT_SECRET_ID": None}, "NAMEPLATE_VAULT_SECRET_ID_FILE"),
        ({"NAMEPLATE_VAULT_SECRET_ID_FILE": "/run/secret"}, "NAMEPLATE_VAULT_SECRET_ID_FILE"),
        ({"NAMEPLATE_CHECK_ADDRESS": "0.0.0.0:9000"}, "mutual TLS"),
        ({"NAMEPLATE_TLS_CERT_FILE": __file__}, "mutual TLS"),
        ({"NAMEPLATE_CHECK_ADDRESS": "unix:/a", "NAMEPLATE_XDS_ADDRESS": "unix:/a"}, "must differ"),
    ],
)
def test_settings_that_do_not_fit_together_are_explained(environment, changes, text):
    environment(**changes)
    with pytest.raises(SettingsError) as refusal:
        read_settings()
    assert text in refusal.value.message
    assert "hunter" not in refusal.value.message


def test_a_rotated_secret_id_file_is_read_again(environment, tmp_path):
    file = tmp_path / "secret-id"
    file.write_text("first\n")
    environment(NAMEPLATE_VAULT_SECRET_ID=None, NAMEPLATE_VAULT_SECRET_ID_FILE=str(file))
    settings = read_settings()
    assert settings.vault_login().next().body["secret_id"] == "first"
    file.write_text("second\n")
    assert settings.vault_login().next().body["secret_id"] == "second"


def test_each_setting_is_documented():
    undocumented = [name for name, field in SidecarSettings.model_fields.items() if not field.description]
    assert undocumented == []


def test_what_envoy_listens_on_has_defaults_and_is_the_operator_s(environment):
    environment()
    assert read_settings().listener_plan() == ListenerPlan("request", "0.0.0.0", 80, 443, False, "/dev/stdout")
    environment(
        NAMEPLATE_LANE="connection",
        NAMEPLATE_LISTEN_ADDRESS="::0",
        NAMEPLATE_HTTP_PORT="8080",
        NAMEPLATE_HTTPS_PORT="8443",
        NAMEPLATE_PROXY_PROTOCOL="true",
        NAMEPLATE_ACCESS_LOG="",
    )
    assert read_settings().listener_plan() == ListenerPlan("connection", "::", 8080, 8443, True, "")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LANE", "fast"),
        ("LISTEN_ADDRESS", "localhost"),
        ("LISTEN_ADDRESS", "[::]"),
        ("LISTEN_ADDRESS", "127.0.0.1:443"),
        ("HTTP_PORT", "0"),
        ("HTTPS_PORT", "65536"),
        ("HTTPS_PORT", "80"),
        ("PROXY_PROTOCOL", "perhaps"),
        ("ACCESS_LOG", "access.log"),
        ("ACCESS_LOG", "/a\nb"),
    ],
)
def test_what_envoy_could_not_listen_on_is_refused(environment, name, value):
    environment(**{f"NAMEPLATE_{name}": value})
    with pytest.raises(SettingsError) as error:
        read_settings()
    assert name in str(error.value)
