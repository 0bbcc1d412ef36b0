"""A QEMU whose supervisor has ended: it may run its guest, and nobody would say how it ends.

It is the process that listens behind the guest's monitor, as the kernel says; nothing else is ever
ended here. Linux, as the driver is.
"""

import os
import select
import signal
import socket
import struct
from contextlib import suppress
from pathlib import Path

from bmigd.errors import LocalFault

CONNECT_S = 5.0
END_S = 20.0  # of a process that was killed: it may have much memory to give back
WORDS = "QEMU is there (pid {pid}), and the process that watched it has ended"


def listener(monitor: Path) -> int:
    """The process behind a monitor; 0 if there is none. Blocks for some seconds at most."""
    with socket.socket(socket.AF_UNIX) as end:
        end.settimeout(CONNECT_S)
        try:
            end.connect(os.fspath(monitor))
        except OSError:
            return 0
        pid, _, _ = struct.unpack("3i", end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return int(pid)


def end_listener(monitor: Path) -> None:
    """End the process behind a monitor, if there is one. LocalFault (HYPERVISOR_THERE). Blocks."""
    if not (pid := listener(monitor)):
        return
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            if listener(monitor) == pid:  # it was not another's number meanwhile
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            ended, _, _ = select.select([descriptor], [], [], END_S)
        finally:
            os.close(descriptor)
        if not ended:
            raise LocalFault(
                "HYPERVISOR_THERE",
                f"the QEMU behind {monitor} (pid {pid}) did not end when it was killed",
                "look at the storage of this host",
            )
