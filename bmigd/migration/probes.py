"""Files that a check leaves in a guest's storages at the source, and looks for at the destination:
so both know whether they see the same storage.

Rule: only files of that name are touched. One that a daemon left when it was killed goes with the
next check there, whichever node's it is, once it is a day older by the storage's own clock.
"""

import contextlib
import os
from pathlib import Path

from bmigd.files import beginning_of

PREFIX = ".bmig-probe-"
MOST_BYTES = 64
OLD_S = 24 * 60 * 60.0


def leave(directory: Path, name: str) -> None:
    """Write one, and take old ones away; OSError if the storage cannot be written."""
    ours = directory / f"{PREFIX}{name}"
    ours.write_text(name)
    old_s = ours.stat().st_mtime - OLD_S
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX):
                with contextlib.suppress(OSError):  # what may stay, or another check was first
                    if entry.stat(follow_symlinks=False).st_mtime < old_s:
                        Path(entry).unlink()


def remove(directory: Path, name: str) -> None:
    """Take it away, if it is there."""
    (directory / f"{PREFIX}{name}").unlink(missing_ok=True)


def seen(directory: Path, name: str) -> str:
    """What is in it; "" if it is not there."""
    probe = beginning_of(directory / f"{PREFIX}{name}", MOST_BYTES)
    return probe.decode("ascii", errors="replace")
