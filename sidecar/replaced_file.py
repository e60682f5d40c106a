"""A file that is replaced at once or not at all, and ends in a checksum of all that comes before.

Whoever reads it refuses it as a whole when the checksum is another. That is against accidents; against malice there are
the file's mode and its directory's.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

CHECKSUM_SIZE: Final = 32  # SHA-256


async def replace_file(path: Path, pieces: Iterable[bytes], rest: float) -> None:
    """`pieces`: each is made in a step of the event loop, and written in a thread. `rest`: seconds after each of them.

    Raises OSError; BlockingIOError if another process is writing it.
    """
    temporary = path.with_name(path.name + ".new")
    with _opened(temporary) as file:
        try:
            digest = hashlib.sha256()
            for piece in pieces:
                # Where the disk is behind, writing waits for it.
                await asyncio.to_thread(_write, file, digest, piece)
                await asyncio.sleep(rest)
            file.write(digest.digest())
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
    # From here on the unfinished file, if there is one, is another's.
    await asyncio.to_thread(_sync_folder, path.parent)


def _write(file: BinaryIO, digest: hashlib._Hash, piece: bytes) -> None:
    digest.update(piece)
    file.write(piece)


def _opened(temporary: Path) -> BinaryIO:
    """Empty and ours alone until it is closed. What somebody left behind who was killed is taken over."""
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    file = os.fdopen(descriptor, "wb")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _is_still(temporary, descriptor):
            raise BlockingIOError(f"{temporary} was finished by another process")
        os.fchmod(descriptor, 0o600)
        os.ftruncate(descriptor, 0)
    except BaseException:
        file.close()
        raise
    return file


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
