"""Files that only a package of Debian (or Ubuntu) has: found, or else installed.

In this order:
1. on the PATH, or unpacked earlier below `.tools/` in the project's folder;
2. as root, or with sudo that asks for no password: `apt-get install`, unless that would start a service;
3. otherwise `apt-get download` and unpacked into `.tools/`, with the libraries that are missing here: enough for a
   program that is run with `environment`;
4. otherwise an error that names the package and the command.

`python -m embedded.debian pebble` does this for the command line, and prints where the files are. The Makefile
uses it, also before there is a virtual environment, so this file imports the standard library only.
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

PACKAGES: Mapping[str, tuple[str, ...]] = {
    "pebble": ("usr/bin/pebble", "usr/bin/pebble-challtestsrv"),
    "wrk": ("usr/bin/wrk",),
    "nghttp2-client": ("usr/bin/h2load",),
    "knot": ("usr/sbin/knotd", "usr/sbin/knotc"),
    "unbound": ("usr/sbin/unbound",),
    "chromium": ("usr/lib/chromium/chromium",),
    "prometheus": ("usr/bin/prometheus", "usr/bin/promtool"),
    "pgbouncer": ("usr/sbin/pgbouncer",),
    # Whichever version the distribution has: it depends on postgresql-15, -16, -17, …
    "postgresql": ("usr/lib/postgresql/*/bin/postgres", "usr/lib/postgresql/*/bin/initdb"),
    "systemd": ("usr/bin/systemd-analyze",),
    # pip itself, for a Python whose package of `venv` is not installed
    "python3-pip-whl": ("usr/share/python-wheels/pip-*.whl",),
}
"""The files that we use, by package; a path may hold wildcards."""

UNPACKED_ONLY = frozenset({"knot", "unbound", "prometheus", "pgbouncer", "postgresql", "systemd"})
"""Packages that start a service of the machine when they are installed, on a port that others use."""


class PackageMissing(RuntimeError):
    """A Debian package is neither there nor could be installed. The text says what to run."""


def find(package: str, file: str) -> Path | None:
    """A file of a package: a program on the PATH, installed, or unpacked in `.tools/`; None when it is nowhere."""
    directory, _, name = file.rpartition("/")
    if directory == "usr/bin" and (program := shutil.which(name, path=_path())):
        return Path(program)
    for root in (Path("/"), TOOLS / package):
        for found in sorted(root.glob(file)):
            return found
    return None


def require(package: str, program: str) -> Path:
    """A package's program. Raises `PackageMissing` when it is not installed; installs nothing."""
    file = next((file for file in PACKAGES.get(package, ()) if file.endswith(f"/{program}")), f"usr/bin/{program}")
    found = find(package, file)
    if found is None:
        raise PackageMissing(
            f"{program} not found; it is in Debian's package {package}: sudo apt-get install {package}"
            f" (or: python -m embedded.debian {package})"
        )
    return found


def environment(package: str, unpacked: Path | None = None) -> dict[str, str]:
    """The environment to run a package's programs in: ours, and where its libraries are if they were unpacked here.

    `unpacked`: a copy of what is below `.tools/`, whose libraries are to be taken.
    """
    folders = sorted({str(library.parent) for library in (unpacked or TOOLS / package).rglob("*.so*")})
    if not folders:
        return dict(os.environ)
    known = os.environ.get("LD_LIBRARY_PATH")
    return {**os.environ, "LD_LIBRARY_PATH": ":".join([*folders, *([known] if known else [])])}


def ensure(package: str) -> list[Path]:
    """The files of a package, installed first if need be (blocks, up to minutes). Raises `PackageMissing`."""
    if not is_installed(package):
        _install(package)
    found = [find(package, file) for file in PACKAGES[package]]
    if None in found:
        raise PackageMissing(f"Debian's package {package} was installed, but lacks some of {PACKAGES[package]}")
    return [path for path in found if path is not None]


def is_installed(package: str) -> bool:
    """Whether every file of the package that we use is there."""
    return all(find(package, file) is not None for file in PACKAGES[package])


def _install(package: str) -> None:
    failures = []
    root = None if package in UNPACKED_ONLY else _privilege()
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
    """Download and unpack below `.tools/`, with what it depends on. Returns what went wrong, empty when nothing did."""
    TOOLS.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=TOOLS, prefix=".download-") as directory:
        folder = Path(directory)
        failure = _download(package, folder, [])
        if failure:
            # The machine's package lists are missing or old, and only root may fetch them: fetch our own.
            (folder / "lists" / "partial").mkdir(parents=True)
            (folder / "cache" / "archives" / "partial").mkdir(parents=True)
            own = ["-o", f"Dir::State::Lists={folder}/lists", "-o", f"Dir::Cache={folder}/cache"]
            own += ["-o", f"APT::Sandbox::User={_user_name()}"]
            failure = _failure(_run(["apt-get", "-q", *own, "update"], cwd=folder)) or _download(package, folder, own)
        unpacked = folder / "unpacked"
        for archive in folder.glob("*.deb"):
            failure = failure or _failure(_run(["dpkg-deb", "-x", str(archive), str(unpacked)]))
        if failure:
            return failure
        shutil.rmtree(TOOLS / package, ignore_errors=True)
        unpacked.rename(TOOLS / package)
        return ""


def _download(package: str, folder: Path, options: Sequence[str]) -> str:
    """The archives of a package and of the dependencies that are not installed. Returns what went wrong."""
    install = ["apt-get", "-q", *options, "install", "--simulate", "--no-install-recommends", package]
    simulated = _run(install)
    wanted = {package}
    if simulated.returncode == 0:
        # "Inst libev4 (1:4.33-1 Debian:12/stable [amd64])"; "Inst libc6 [2.36-1] (...)" would be a newer version.
        lines = [line.split() for line in simulated.stdout.splitlines() if line.startswith("Inst ")]
        wanted |= {words[1] for words in lines if not words[2].startswith("[")}
    return _failure(_run(["apt-get", "-q", *options, "download", *sorted(wanted)], cwd=folder))


def _user_name() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def _run(command: Sequence[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": _path(), "LC_ALL": "C.UTF-8"}
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


def _path() -> str:
    return ":".join(filter(None, [os.environ.get("PATH"), SYSTEM_PATH]))


def _failure(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode == 0:
        return ""
    return f"{' '.join(done.args)}: exit {done.returncode}\n{done.stdout.strip()[-OUTPUT_TAIL:]}"


def main(packages: Sequence[str]) -> int:
    """Make sure of packages and print where their files are; for the command line."""
    for package in packages:
        if package not in PACKAGES:
            sys.stderr.write(f"unknown package {package}; known: {', '.join(PACKAGES)}\n")
            return 2
        if not is_installed(package):
            sys.stderr.write(f"installing Debian's package {package} ...\n")
        try:
            found = ensure(package)
        except PackageMissing as error:
            sys.stderr.write(f"{error}\n")
            return 1
        sys.stdout.write("".join(f"{path}\n" for path in found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
