"""How far a journal has come, kept once more outside of it: an older copy of it is behind its mark.

The file stays open, so that it is written when no more files can be opened.
"""

import contextlib
import os
from pathlib import Path

Progress = tuple[str, int]  # incarnation of the journal, and how many writes it has seen


def mark_path(path: Path) -> Path:
    """Where a journal's mark is."""
    return path.with_name(path.name + ".mark")


class Mark:
    """The file of a mark."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        if path.exists():
            with contextlib.suppress(OSError):  # tried again when it is written
                self._open()

    def read(self) -> Progress | None:
        """How far the journal had come; None if the mark is missing or unreadable."""
        try:
            incarnation, writes = self._path.read_text(encoding="ascii").split()
            return incarnation, int(writes)
        except (OSError, ValueError):
            return None

    def write(self, progress: Progress) -> None:
        """In place, and durable: a line of always the same length. OSError if that fails."""
        if not self._is_there():
            self._open()
        incarnation, writes = progress
        os.pwrite(self._descriptor, f"{incarnation} {writes:020d}\n".encode(), 0)
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _open(self) -> None:
        self.close()
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _is_there(self) -> bool:
        """Whether what is open is still the file of that name."""
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._descriptor))
        except OSError:
            return False
