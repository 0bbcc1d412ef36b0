"""Files by which a supervisor knows its hypervisor, and others know the supervisor.

Only the standard library: see supervisor.py.
"""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from bmigd.words import why

LAST_WORDS_BYTES = 4000


def is_socket(path: Path) -> bool:
    """Whether there is a socket of that name."""
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False


def inode(path: Path) -> int:
    """Of a file; 0 when there is none."""
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def has_index(file: Path) -> bool:
    """Whether a suspend got as far as the last of its files."""
    return file.with_name(f"{file.name}.meta").exists()


def last_words(log: Path) -> str:
    """The end of a log."""
    return log.read_bytes()[-LAST_WORDS_BYTES:].decode(errors="replace").strip()


def close_stdout() -> None:
    """Whoever waits for the word on it is not kept waiting."""
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123 - a device, not a file
        os.dup2(nothing.fileno(), 1)


def remove(files: Iterable[str | Path]) -> None:
    """Delete what there is of them."""
    for file in files:
        Path(file).unlink(missing_ok=True)


def words_of(error: Exception) -> str:
    """Of a failure, for people: with the file, without a number."""
    if not isinstance(error, OSError):
        return str(error)
    return f"{error.filename}: {why(error)}" if error.filename else why(error)
