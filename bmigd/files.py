"""Files that somebody else named: opened without waiting, read only if regular and small.

A fifo, a terminal or /dev/zero would be read for ever. Blocks on the disk: not for the event loop.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bmigd.errors import LocalFault

STEP_BYTES = 1 << 20


def sha256_of(path: Path, most_bytes: int) -> str:
    """In hexadecimal; "" for what is missing, not a regular file, or larger."""
    digest, left = hashlib.sha256(), most_bytes
    try:
        with _regular(path) as descriptor:
            while content := os.read(descriptor, STEP_BYTES):
                left -= len(content)
                if left < 0:
                    return ""
                digest.update(content)
    except OSError:
        return ""
    return digest.hexdigest()


def beginning_of(path: Path, most_bytes: int) -> bytes:
    """The first bytes; b"" for what is missing or not a regular file."""
    try:
        with _regular(path) as descriptor:
            return os.read(descriptor, most_bytes)
    except OSError:
        return b""


def size_of(path: Path) -> int:
    """Of a regular file or a disk device, in bytes; 0 for anything else and for what is missing."""
    try:
        with _opened(path) as (descriptor, mode):
            if stat.S_ISREG(mode) or stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
                return os.lseek(descriptor, 0, os.SEEK_END)  # a device has no size in its inode
    except OSError:
        return 0
    return 0


def make_directory(directory: Path, field: str) -> None:
    """For us alone, if it is not there; LocalFault (DIRECTORY_UNUSABLE) names the field."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        what = "it is a file" if isinstance(error, FileExistsError) else error.strerror
        raise LocalFault(
            "DIRECTORY_UNUSABLE",
            f"{directory} cannot be a directory of ours: {what}",
            f"see {field} in the configuration, and that bmigd runs as a user who may write there",
        ) from error


@contextmanager
def _regular(path: Path) -> Iterator[int]:
    with _opened(path) as (descriptor, mode):
        if not stat.S_ISREG(mode):
            raise OSError(f"{path} is not a regular file")
        yield descriptor


@contextmanager
def _opened(path: Path) -> Iterator[tuple[int, int]]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        yield descriptor, os.fstat(descriptor).st_mode
    finally:
        os.close(descriptor)
