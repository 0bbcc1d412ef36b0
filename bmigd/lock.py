"""One daemon for each state directory: a second one would recover the first one's migrations as if
that had ended, and end them.

The kernel drops the lock when the process is gone, however it went; nothing that it starts has it.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from bmigd.errors import LocalFault

DIGITS = 20  # always as many, so that no earlier ones are left


class Lock:
    """Held from here to close(). LocalFault (ALREADY_RUNNING) if another process has it, or
    (DIRECTORY_UNUSABLE) if it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = -1
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            who = os.pread(self._descriptor, DIGITS, 0).decode("ascii", "replace").strip()
            self.close()
            raise LocalFault(
                "ALREADY_RUNNING",
                f"bmigd runs already with {path.parent}" + (f", as process {who}" if who else ""),
                "nothing needs to be done; stop that one first, or give this one a node.state_dir"
                " of its own",
            ) from error
        except OSError as error:
            self.close()
            raise LocalFault(
                "DIRECTORY_UNUSABLE",
                f"cannot lock {path}: {error.strerror}",
                "node.state_dir must be on a file system that can be written and has locks",
            ) from error
        with suppress(OSError):  # a full disk: who has it is for people
            os.pwrite(self._descriptor, b"%-*d\n" % (DIGITS, os.getpid()), 0)

    def close(self) -> None:
        """Let another one have it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1
