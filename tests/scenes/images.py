"""What an image of the Containerfile holds and starts, without an engine: a folder in place of /opt/nameplate.

The commands of the file are run as they stand, but for the one that downloads: what the lock names is copied from the
environment of the tests, which was installed from a lock with the same versions and hashes (a test holds them to it).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from scenes.containerfile import Stage, read

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "container"
IN_IMAGE = "/opt/nameplate"
PINNED = re.compile(r"^(?P<wish>[A-Za-z0-9][^\\\n]*==[^\\\n]*?)\s*\\?$", re.MULTILINE)
USER = 10001


def locked(lock: Path) -> Mapping[str, str]:
    """name → version, of those that this Python and system need."""
    wishes = [Requirement(match["wish"]) for match in PINNED.finditer(lock.read_text())]
    needed = [wish for wish in wishes if wish.marker is None or wish.marker.evaluate()]
    return {wish.name: str(wish.specifier).removeprefix("==") for wish in needed}


def context(into: Path) -> Path:
    """The folder as the engine sees it: what .dockerignore leaves of it."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*", "all stays out that is not named"
    wanted = [line[1:] for line in lines if line.startswith("!")]
    refused = [line for line in lines[1:] if not line.startswith("!")]

    def out(folder: str, names: list[str]) -> list[str]:
        inside = Path(folder).relative_to(ROOT)
        return [name for name in names if any(_matches(inside / name, pattern) for pattern in refused)]

    into.mkdir()
    for name in wanted:
        source, target = ROOT / name, into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=out)
        else:
            shutil.copy2(source, target)
    return into


def _matches(path: Path, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return any(fnmatch(part, pattern.removeprefix("**/")) for part in path.parts)
    return str(path) == pattern


@dataclass(frozen=True, slots=True)
class Image:
    """`opt`: what /opt/nameplate is in the image."""

    stage: Stage
    build: Stage
    opt: Path

    @property
    def entry_point(self) -> list[str]:
        return [self.here(word) for word in self.stage.words("ENTRYPOINT")]

    @property
    def command(self) -> list[str]:
        return [*self.entry_point, *self.stage.words("CMD")]

    def health_check(self, port: int) -> list[str]:
        """At another port than the file's, which may be taken on this machine."""
        return [re.sub(r"(?<=127\.0\.0\.1):\d+", f":{port}", self.here(word)) for word in self.stage.health_check]

    def here(self, text: str) -> str:
        return text.replace(IN_IMAGE, str(self.opt))

    def bare(self, command: Sequence[str], environment: Mapping[str, str]) -> list[str]:
        """The command with the image's environment, the given one and nothing else, as an engine starts it."""
        own = {name: self.here(value) for name, value in self.stage.environment.items()}
        given = {**own, "HOME": "/", **environment}
        return ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in given.items()), *command]

    def packages(self) -> set[str]:
        """Ours and others' that can be imported."""
        (site,) = self.opt.glob("lib/python3.*/site-packages")
        found = [path.name for path in site.iterdir() if not path.name.endswith((".dist-info", ".pth"))]
        return {name.partition(".")[0] for name in found}


def make(target: str, wheels: Path, folder: Path, python: str) -> Image:
    """The image as the file makes it, then without permission to write. `python`: one that USER may run."""
    stages = read(FOLDER / "Containerfile")
    stage = stages[target]
    (source,) = stage.sources
    build = stages[source]
    opt = folder / "opt"
    folder.mkdir(mode=0o755)
    shutil.copy2(FOLDER / "keep.py", folder / "keep.py")
    for command in build.all("RUN"):
        if "--require-hashes" in command:
            _copy_installed(ROOT / _lock_of(build, command), opt)
            continue
        words = command.replace(IN_IMAGE, str(opt)).replace("/wheels", str(wheels))
        words = words.replace("python -m venv", f"{python} -m venv")
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        subprocess.run(["/bin/sh", "-euc", words], cwd=folder, env={**os.environ, "PATH": path}, check=True)
    _forbid_writing(opt)
    return Image(stage, build, opt)


def build_wheel(folder: Path) -> Path:
    """The folder of the wheel that the file's command builds from what .dockerignore leaves."""
    source, wheels = context(folder / "src"), folder / "wheels"
    command = read(FOLDER / "Containerfile")["wheel"].last("RUN").replace("/wheels", str(wheels))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(
        ["/bin/sh", "-euc", command],
        cwd=source,
        env={**os.environ, "PATH": path},
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return wheels


def _lock_of(build: Stage, command: str) -> Path:
    name = command.rsplit(maxsplit=1)[-1]
    (copied,) = {line.split()[0] for line in build.all("COPY") if line.split()[0].endswith(name)}
    return Path(copied)


def _copy_installed(lock: Path, opt: Path) -> None:
    (site,) = opt.glob("lib/python3.*/site-packages")
    for name, version in locked(lock).items():
        found = metadata.distribution(name)
        assert found.version == version, f"{name} {found.version} is installed, {lock.name} has {version}: run make"
        for file in found.files or ():
            if ".." not in file.parts:  # programs, which nobody calls
                target = site / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file.locate(), target)


def _forbid_writing(folder: Path) -> None:
    for directory, _, files in os.walk(folder):
        for name in files:
            path = Path(directory) / name
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & 0o555 | 0o444)
        Path(directory).chmod(0o555)


def allow_writing(folder: Path) -> None:
    """So that an ordinary user can remove it."""
    for directory, _, _ in os.walk(folder):
        Path(directory).chmod(0o755)


def listing(folder: Path) -> str:
    """Every file with its size and time, to see that nothing was written."""
    found = []
    for directory, _, files in os.walk(folder):
        for name in files:
            facts = (Path(directory) / name).lstat()
            found.append((f"{directory}/{name}", facts.st_size, facts.st_mtime_ns))
    return json.dumps(sorted(found))


def python_for(user: int | None) -> str:
    """A Python of this version that the user may run; pyenv's in /root is for root alone."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    candidates = [sys._base_executable, f"/usr/bin/python{version}", f"/usr/local/bin/python{version}"]  # type: ignore[attr-defined]
    ask = "import sys, ssl, venv; print('%d.%d' % sys.version_info[:2])"
    for candidate in candidates:
        drop = [] if user is None else ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--"]
        reachable = user is None or all(parent.stat().st_mode & 0o001 for parent in Path(candidate).resolve().parents)
        if not reachable or not Path(candidate).exists():
            continue
        done = subprocess.run([*drop, candidate, "-I", "-c", ask], capture_output=True, text=True, cwd="/", check=False)
        if done.stdout.strip() == version:
            return candidate
    raise AssertionError(f"no Python {version} that user {user} may run: {candidates}")
