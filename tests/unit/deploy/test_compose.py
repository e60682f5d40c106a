"""deploy/compose: against the schema of the specification, and against what our processes read and need."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr
from scenes.containerfile import read
from scenes.deployed import DEPLOY, ROOT, folder_of, read_by

from control.settings import ControlSettings, OwnerSettings
from sidecar.bootstrap import Bootstrap
from sidecar.settings import SidecarSettings

FOLDER = DEPLOY / "compose"
SETTINGS = {"control": ControlSettings, "migrate": OwnerSettings, "sidecar": SidecarSettings}
OURS = {"control", "migrate", "sidecar", "envoy"}


def interpolated(text: str) -> str:
    """As Compose does it, by .env.example. Raises KeyError for what .env.example does not have and must."""
    given = dict(
        line.split("=", 1) for line in (FOLDER / ".env.example").read_text().splitlines() if re.match(r"\w+=", line)
    )

    def value(match: re.Match[str]) -> str:
        name, operator = match["name"], match["operator"]
        found = given.get(name, "")
        if operator == ":-":
            return found or match["rest"]
        return found or given[f"{name} must be set"]

    return re.sub(r"\$\{(?P<name>\w+)(?P<operator>:[-?])(?P<rest>[^}]*)\}", value, text)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = walked(yaml.safe_load((FOLDER / "compose.yaml").read_text()))
    return found


def walked(value: Any) -> Any:
    """Variables are put into values, not into the text: an empty one is an empty string."""
    match value:
        case str():
            return interpolated(value)
        case dict():
            return {name: walked(each) for name, each in value.items()}
        case list():
            return [walked(each) for each in value]
    return value


def test_it_is_what_the_specification_of_compose_allows() -> None:
    check = Path(sys.executable).with_name("check-jsonschema")
    command = [check, "--builtin-schema", "vendor.compose-spec", FOLDER / "compose.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("service", SETTINGS)
def test_a_process_is_given_all_it_needs_and_nothing_that_it_does_not_read(
    compose: dict[str, Any], service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = compose["services"][service]
    mounted = [secret if isinstance(secret, str) else secret["target"] for secret in described["secrets"]]
    secrets = folder_of(tmp_path / "secrets", *mounted)
    settings = read_by(SETTINGS[service], described["environment"], {"/run/secrets": secrets}, monkeypatch)
    for name, value in settings:
        if name.endswith(("_password_file", "_secret_id_file")) and value is not None:
            assert value.is_file(), f"{name}: {value.name} is not among the secrets of {service}"
        if isinstance(value, SecretStr):
            assert "PASSWORD" not in value.get_secret_value().upper(), "secrets are in files"


def test_every_variable_of_the_example_is_used() -> None:
    example = set(re.findall(r"^(\w+)=", (FOLDER / ".env.example").read_text(), re.MULTILINE))
    assert example == set(re.findall(r"\$\{(\w+)", (FOLDER / "compose.yaml").read_text()))


def test_every_secret_volume_and_network_is_there_and_used(compose: dict[str, Any]) -> None:
    services = compose["services"].values()
    named = [
        (secret if isinstance(secret, str) else secret["source"])
        for each in services
        for secret in each.get("secrets", [])
    ]
    assert set(named) == set(compose["secrets"])
    mounts = [mount.split(":")[0] for each in services for mount in each.get("volumes", [])]
    assert {mount for mount in mounts if not mount.startswith(".")} == set(compose["volumes"])
    assert all((FOLDER / mount).is_file() for mount in mounts if mount.startswith("."))
    assert {network for each in services for network in each["networks"]} == set(compose["networks"])
    ignored = (FOLDER / ".gitignore").read_text().split()
    assert {".env", "secrets/"} <= set(ignored)
    assert all(secret["file"].startswith("./secrets/") for secret in compose["secrets"].values())


def test_every_process_has_as_few_rights_as_it_can(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.keys() & {"privileged", "cap_add", "pid", "ipc", "network_mode", "userns_mode"}, name
        assert re.fullmatch(r"[a-z/-]+:[\w.-]*\d[\w.-]*", service["image"]), (
            f"{name}: {service['image']} has no version"
        )


def test_our_images_are_those_of_the_containerfile(compose: dict[str, Any]) -> None:
    stages = read(DEPLOY / "container" / "Containerfile")
    for name in ("control", "migrate", "sidecar"):
        service = compose["services"][name]
        stage = stages[service["build"]["target"]]
        assert service["image"].startswith(f"nameplate-{stage.name}:")
        assert (FOLDER / service["build"]["context"]).resolve() == ROOT
        assert (ROOT / service["build"]["dockerfile"]).is_file()
        assert "user" not in service, "the image has it"


def test_envoy_and_the_sidecar_meet_at_their_sockets_as_one_user(
    compose: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    envoy, sidecar = compose["services"]["envoy"], compose["services"]["sidecar"]
    user = read(DEPLOY / "container" / "Containerfile")["sidecar"].last("USER")
    assert envoy["user"] == user
    uid, gid = user.split(":")
    assert f"uid={uid},gid={gid},mode=0700" in compose["volumes"]["sockets"]["driver_opts"]["o"]
    mount = "sockets:/run/nameplate"
    assert mount in envoy["volumes"]
    assert mount in sidecar["volumes"]
    secrets = folder_of(tmp_path / "secrets", "sidecar_database_password", "vault_secret_id")
    settings = read_by(SidecarSettings, sidecar["environment"], {"/run/secrets": secrets}, monkeypatch)
    assert (FOLDER / "envoy.yaml").read_text() == Bootstrap(
        "edge", str(settings.check_address), str(settings.xds_address)
    ).render()
    assert envoy["ports"] == [f"80:{settings.http_port}", f"443:{settings.https_port}"]
    assert min(settings.http_port, settings.https_port) >= 1024, "it has no right to others"


def test_nothing_starts_before_what_it_needs(compose: dict[str, Any]) -> None:
    wanted = {name: service.get("depends_on", {}) for name, service in compose["services"].items()}
    conditions = {name: {on: how["condition"] for on, how in each.items()} for name, each in wanted.items()}
    assert conditions["migrate"] == {"postgres": "service_healthy"}
    for name in ("control", "sidecar"):
        assert conditions[name] == {"migrate": "service_completed_successfully", "openbao": "service_started"}
    assert conditions["envoy"] == {"sidecar": "service_healthy"}
    assert all("healthcheck" in compose["services"][name] for name in ("postgres", "openbao"))
    assert compose["services"]["migrate"]["restart"] == "no"


def test_the_api_is_published_to_this_machine_only(compose: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert published.keys() == {"control", "envoy"}
    assert all(port.startswith("127.0.0.1:") for port in published["control"])
    data = [name for name, service in compose["services"].items() if "data" in service["networks"]]
    assert compose["networks"]["data"] == {"internal": True}
    assert {"postgres", "openbao"} <= set(data)
    assert json.dumps(compose).count("0.0.0.0") == 0
