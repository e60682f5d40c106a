"""Programs that only Debian (or Ubuntu) packages: found, or else installed.

In this order:
1. on the PATH, or unpacked earlier below `.tools/` in the project's folder;
2. as root, or with sudo that asks for no password: `apt-get install`;
3. otherwise `apt-get download` and unpacked into `.tools/`, which is enough for a program without services;
4. otherwise an error that names the package and the command.

`python -m embedded.debian pebble` does this for the command line (used by the Makefile).
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

TOOLS = Path(__file__).resolve().parent.parent / ".tools"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
APT_TIMEOUT = 300.0
LOCK_WAIT = 120  # seconds that apt waits for another apt to finish
OUTPUT_TAIL = 2000

BINARIES: Mapping[str, tuple[str, ...]] = {"pebble": ("pebble", "pebble-challtestsrv")}
"""The programs we use, by package."""


class PackageMissing(RuntimeError):
    """A Debian package is neither there nor could be installed. The text says what to run."""


def find(package: str, binary: str) -> Path | None:
    """A package's program, from the PATH or unpacked in `.tools/`; None when it is in neither."""
    found = shutil.which(binary, path=f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}")
    if found:
        return Path(found)
    unpacked = TOOLS / package / "usr" / "bin" / binary
    return unpacked if os.access(unpacked, os.X_OK) else None


def require(package: str, binary: str) -> Path:
    """A package's program. Raises `PackageMissing` when it is not installed; installs nothing."""
    found = find(package, binary)
    if found is None:
        raise PackageMissing(
            f"{binary} not found; it is in Debian's package {package}: sudo apt-get install {package}"
            f" (or: python -m embedded.debian {package})"
        )
    return found


def ensure(package: str) -> list[Path]:
    """The programs of a package, installed first if need be (blocks, up to minutes). Raises `PackageMissing`."""
    binaries = BINARIES[package]
    if any(find(package, binary) is None for binary in binaries):
        _install(package)
    return [require(package, binary) for binary in binaries]


def _install(package: str) -> None:
    failures = []
    root = _privilege()
    if root is not None:
        failures.append(_install_as_root(package, root))
    if not failures or failures[-1]:
        failures.append(_unpack_locally(package))
    if failures[-1]:
        raise PackageMissing(
            f"Debian's package {package} is needed and could not be installed here.\n"
            f"Run: sudo apt-get update && sudo apt-get install {package}\n\n" + "\n".join(failures)
        )


def _privilege() -> list[str] | None:
    """What to put before a command so that it runs as root; None when there is no way that asks nothing."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo and _run([sudo, "-n", "true"]).returncode == 0:
        return [sudo, "-n"]
    return None


def _install_as_root(package: str, root: Sequence[str]) -> str:
    """`apt-get install`. Returns what went wrong, empty when nothing did."""
    apt = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-o", f"DPkg::Lock::Timeout={LOCK_WAIT}"]
    install = [*apt, "install", "-y", "--no-install-recommends", package]
    first = _run(install)
    if first.returncode == 0:
        return ""
    # Unknown (a fresh machine has no lists), or gone (an old list): the lists first, then once more.
    return _failure(_run([*apt, "update"])) or _failure(_run(install))


def _unpack_locally(package: str) -> str:
    """`apt-get download` and unpack below `.tools/`. Returns what went wrong, empty when nothing did."""
    TOOLS.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=TOOLS, prefix=".download-") as directory:
        folder = Path(directory)
        failure = _failure(_run(["apt-get", "-q", "download", package], cwd=folder))
        if failure:
            # The machine's package lists are missing or old, and only root may fetch them: fetch our own.
            (folder / "lists" / "partial").mkdir(parents=True)
            (folder / "cache" / "archives" / "partial").mkdir(parents=True)
            own = ["-o", f"Dir::State::Lists={folder}/lists", "-o", f"Dir::Cache={folder}/cache"]
            own += ["-o", f"APT::Sandbox::User={_user_name()}"]
            update, download = ["apt-get", "-q", *own, "update"], ["apt-get", "-q", *own, "download", package]
            failure = _failure(_run(update, cwd=folder)) or _failure(_run(download, cwd=folder))
        if failure:
            return failure
        unpacked = folder / "unpacked"
        (archive,) = folder.glob("*.deb")
        failure = _failure(_run(["dpkg-deb", "-x", str(archive), str(unpacked)]))
        if failure:
            return failure
        shutil.rmtree(TOOLS / package, ignore_errors=True)
        unpacked.rename(TOOLS / package)
        return ""


def _user_name() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def _run(command: Sequence[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}", "LC_ALL": "C.UTF-8"}
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=cwd,
            env=environment,
            timeout=APT_TIMEOUT,
            check=False,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, returncode=127, stdout=str(error))


def _failure(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode == 0:
        return ""
    return f"{' '.join(done.args)}: exit {done.returncode}\n{done.stdout.strip()[-OUTPUT_TAIL:]}"


def main(packages: Sequence[str]) -> int:
    """Make sure of packages; for the command line."""
    for package in packages:
        if package not in BINARIES:
            _say(f"unknown package {package}; known: {', '.join(BINARIES)}")
            return 2
        missing = any(find(package, binary) is None for binary in BINARIES[package])
        if missing:
            _say(f"installing Debian's package {package} ...")
        try:
            found = ensure(package)
        except PackageMissing as error:
            _say(str(error))
            return 1
        if missing:
            _say(f"installed {', '.join(map(str, found))}")
    return 0


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
