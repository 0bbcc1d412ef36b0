"""Executes a hypervisor so that it cannot be left stopped.

A hypervisor that is slowed down is stopped most of the time (dutycycle.py). Should its supervisor
be killed just then, nobody is left to continue it: so the kernel is asked to, when the parent
ends. To a process that runs the signal is nothing.

Only the standard library, and little of it: one supervisor runs for every guest.
"""

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h
P_PID, PROC_PDEATHSIG_CTL = 0, 11  # FreeBSD's sys/wait.h and sys/procctl.h

_LIBC = ctypes.CDLL(None)  # before any fork: nothing is loaded in a child
_CONTINUE = ctypes.c_int(signal.SIGCONT)


def spawn(argv: list[str], log: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Execute it with its words in a new log; the environment is added to our own. OSError.

    To be called in the main thread: Linux means the thread when it says parent.
    """
    with log.open("wb") as words:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=words,
            env={**os.environ, **environment},
            preexec_fn=_be_continued,  # noqa: PLW1509 - one call of libc, no lock of other threads
        )


def _be_continued() -> None:
    """In the child. What a system without such a call lacks is this one safety, not the guest."""
    if sys.platform == "linux":
        _LIBC.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGCONT), 0, 0, 0)
    elif sys.platform.startswith("freebsd"):
        myself = ctypes.c_int64(0)
        _LIBC.procctl(P_PID, myself, PROC_PDEATHSIG_CTL, ctypes.byref(_CONTINUE))
