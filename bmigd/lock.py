"""One daemon for each state directory: a second one would recover the first one's migrations as if
that had ended, and end them.

The kernel drops the lock when the process is gone, however it went; nothing that it starts has it.
"""

import fcntl
import os
from pathlib import Path

from bmigd.errors import LocalFault

MOST_DIGITS = 20


class Lock:
    """Held from here to close(). LocalFault (ALREADY_RUNNING) if another process has it, or
    (DIRECTORY_UNUSABLE) if it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LocalFault(
                "DIRECTORY_UNUSABLE",
                f"cannot make {path}: {error.strerror}",
                "see node.state_dir in the configuration",
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            who = os.pread(self._descriptor, MOST_DIGITS, 0).decode("ascii", "replace").strip()
            self.close()
            raise LocalFault(
                "ALREADY_RUNNING",
                f"bmigd runs already with {path.parent}" + (f", as process {who}" if who else ""),
                "nothing needs to be done; stop that one first, or give this one a node.state_dir"
                " of its own",
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)

    def close(self) -> None:
        """Let another one have it."""
        os.close(self._descriptor)
