"""deploy/systemd: verified by systemd itself, offline, and against what our processes read and need."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from scenes.deployed import folder_of, read_by
from scenes.units import FOLDER, OPT, Unit

from control.settings import ControlSettings
from embedded import debian
from sidecar.settings import SidecarSettings
from sidecar.supervisor.contract import UNUSABLE
from sidecar.supervisor.plan import LEAVE_PATIENCE

UNITS = ("nameplate-control.service", "nameplate-sidecar.service", "envoy.service")
OURS = {"nameplate-control.service": ControlSettings, "nameplate-sidecar.service": SidecarSettings}
# Tenths: `systemd-analyze security` calls below 2 "OK", its best word.
MOST_EXPOSED = 20


def analyze(*words: str, units: Path | None = None) -> subprocess.CompletedProcess[str]:
    (program,) = debian.ensure("systemd")
    environment = {**debian.environment("systemd"), "LC_ALL": "C.UTF-8", "SYSTEMD_PAGER": ""}
    if units is not None:  # the system's own units are those of the package, which may not be installed
        system = program.parents[1] / "lib" / "systemd" / "system"
        environment["SYSTEMD_UNIT_PATH"] = f"{units}:{system}"
    return subprocess.run([program, *words], env=environment, capture_output=True, text=True, check=False)


def test_systemd_understands_every_line(tmp_path: Path) -> None:
    """With programs that are there: on this machine neither Envoy nor we are where the units have us."""
    programs = {f"{OPT}/bin/nameplate", "/usr/local/bin/envoy"}
    for name in UNITS:
        text = (FOLDER / name).read_text()
        for program in programs:
            text = text.replace(program, str(tmp_path / Path(program).name))
        (tmp_path / name).write_text(text)
    for program in programs:
        (tmp_path / Path(program).name).touch(mode=0o755)
    done = analyze("verify", "--man=no", *(str(tmp_path / name) for name in UNITS), units=tmp_path)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_is_exposed_as_little_as_can_be(name: str) -> None:
    done = analyze("security", "--offline=yes", "--no-pager", f"--threshold={MOST_EXPOSED}", str(FOLDER / name))
    said = done.stdout.rpartition("Overall exposure level")[2]
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert "OK" in said


def test_envoy_cannot_read_what_its_sidecar_logs_in_with() -> None:
    assert "InaccessiblePaths=-/run/credentials -/var/lib/nameplate\n" in (FOLDER / "envoy.service").read_text()


@pytest.mark.parametrize("name", OURS)
def test_a_process_is_given_all_it_needs_and_nothing_that_it_does_not_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = Unit.read(name)
    credentials = folder_of(tmp_path, *unit.credentials)
    trust = tmp_path / "ca-certificates.crt"
    trust.write_text("something")
    places = {"%d": credentials, "/etc/ssl/certs/ca-certificates.crt": trust}
    settings = read_by(OURS[name], unit.environment(), places, monkeypatch)
    used = {value for variable, value in unit.environment().items() if variable.endswith("_FILE")}
    assert used == {f"%d/{credential}" for credential in unit.credentials}, "one that nobody reads, or is not there"
    assert all(Path(file).parent == Path("/etc/nameplate/credentials") for file in unit.credentials.values())
    if isinstance(settings, SidecarSettings):
        assert f"/run/{unit.one('RuntimeDirectory')}/check.sock" in str(settings.check_address)
        assert str(settings.state_dir) == f"/var/lib/{unit.one('StateDirectory')}"


def test_envoy_runs_as_the_sidecar_and_after_it() -> None:
    envoy, sidecar = Unit.read("envoy.service"), Unit.read("nameplate-sidecar.service")
    assert envoy.one("User") == sidecar.one("User") == "nameplate"
    assert re.search(r"^u nameplate ", (FOLDER / "nameplate.sysusers").read_text(), re.MULTILINE)
    assert "nameplate-sidecar.service" in envoy.one("After")
    assert envoy.one("AmbientCapabilities") == envoy.one("CapabilityBoundingSet") == "CAP_NET_BIND_SERVICE"
    drain, words = envoy.command("ExecStop", {}), envoy.command("ExecStart", {})
    drained = int(drain[drain.index("--seconds") + 1])
    assert int(words[words.index("--drain-time-s") + 1]) < drained < int(envoy.one("TimeoutStopSec"))


def test_the_sidecar_s_unit_says_what_its_supervisor_does() -> None:
    unit = Unit.read("nameplate-sidecar.service")
    assert unit.one("Type") == "notify"
    assert int(unit.one("RestartPreventExitStatus")) == UNUSABLE
    assert int(unit.one("TimeoutStopSec")) > LEAVE_PATIENCE
    assert "-HUP $MAINPID" in unit.one("ExecReload")
    assert os.path.basename(unit.command("ExecStart", {})[0]) == "nameplate"
