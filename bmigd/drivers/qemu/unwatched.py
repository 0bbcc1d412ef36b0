"""A QEMU whose supervisor has ended: it may run its guest, and nobody would say how it ends.

It is found by its command line, which names the guest's monitor, a path in a private directory;
asking at the monitor would take a place in a short queue, and a QEMU that hangs frees none. Nothing
but a process of our own user is ever taken for it. Linux, as the driver is.
"""

import os
import select
import signal
from pathlib import Path

from bmigd.errors import LocalFault

END_MS = 20_000  # of a process that was killed: it may have much memory to give back
WORDS = "QEMU is there (pid {pid}), and the process that watched it has ended"


def unwatched(monitor: Path) -> int:
    """The QEMU that has this monitor; 0 if there is none. Looks at all processes."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _has(int(entry.name), monitor):
            return int(entry.name)
    return 0


def end_unwatched(monitor: Path) -> None:
    """End the QEMU that has this monitor, if there is one. Blocks until it has ended.

    LocalFault (HYPERVISOR_THERE) if it does not.
    """
    if not (pid := unwatched(monitor)):
        return
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except OSError as error:
        raise _there(pid, str(error)) from error
    try:
        if not _has(pid, monitor):  # it ended, and the number may be another's
            return
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(END_MS):
            raise _there(pid, "it did not end when it was killed")
    except ProcessLookupError:
        return
    except OSError as error:
        raise _there(pid, str(error)) from error
    finally:
        os.close(descriptor)


def _has(pid: int, monitor: Path) -> bool:
    """Whether a process is ours, alive, and has a monitor there."""
    process = Path(f"/proc/{pid}")
    try:
        if process.stat().st_uid != os.geteuid():
            return False
        words = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    wanted = b"path=" + os.fsencode(monitor).replace(b",", b",,")  # as in a QEMU option
    return any(word.startswith(b"socket,id=monitor,") and wanted in word for word in words)


def _there(pid: int, why: str) -> LocalFault:
    words = f"the QEMU with pid {pid}, which nobody watches, is still there: {why}"
    return LocalFault("HYPERVISOR_THERE", words, "look at the storage of this host")
