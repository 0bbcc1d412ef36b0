"""The control thread: requests from bhyvectl, the power button, and the end of the node.

Rule 1: requests are served one after the other; a later one waits and then runs.
Rule 2: whatever goes wrong with a checkpoint, the guest runs again; only a successful
suspend ends it.
"""

from __future__ import annotations

import math
import os
import select
import signal
import sys
import threading
import time

from microvm import channel, faults, ram, snapshot
from microvm.exits import FATAL, POWEROFF, RESET
from microvm.state import StateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from types import FrameType

    from microvm.channel import Request
    from microvm.config import GuestConfig
    from microvm.machine import Machine

_WATCH_MS = 100
FORCES = {"force-poweroff": POWEROFF, "force-reset": RESET}


class Control:
    """Everything that reaches a running guest from outside."""

    def __init__(self, machine: Machine, config: GuestConfig) -> None:
        self._machine, self._config = machine, config
        self._wake_read, self._wake_write = os.pipe()
        self._server: socket | None = None

    def take_signals(self) -> None:
        """SIGTERM is the power button; the processor's thread cannot take signals."""
        os.set_blocking(self._wake_write, False)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, _nothing)

    def open(self, path: str) -> None:
        """Make the socket and serve it; from here on the guest is known to be up."""
        self._server = channel.listen(path)
        threading.Thread(target=self._serve, args=(self._server,), daemon=True).start()

    def _serve(self, server: socket) -> None:
        poll = select.poll()
        for fd in (server.fileno(), self._wake_read):
            poll.register(fd, select.POLLIN)
        wanted = faults.read(self._config.name)
        lifetime_s = faults.seconds(wanted, "dies-after-start")
        dies_at = time.monotonic() + lifetime_s if "dies-after-start" in wanted else math.inf
        while time.monotonic() < dies_at and not self._machine.node.is_destroyed():
            left_ms = (dies_at - time.monotonic()) * 1000
            for fd, _ in poll.poll(max(0, min(_WATCH_MS, left_ms))):
                if fd == self._wake_read:
                    os.read(fd, 64)
                    self._machine.press_power_button()
                else:
                    self._request(server)
        leave(FATAL)

    def _request(self, server: socket) -> None:
        try:
            request, directory = channel.receive(server)
        except channel.ChannelError as error:
            complain(f"{error}")
            return
        command = request.get("cmd")
        if command == "checkpoint" and directory >= 0:
            self._checkpoint(request, directory)
        elif command in FORCES:
            self._machine.force(FORCES[str(command)])
        else:
            complain(f"unrecognized checkpoint operation: {command!r}")
        if directory >= 0:
            os.close(directory)

    def _checkpoint(self, request: Request, directory: int) -> None:
        self._machine.pause()
        self._machine.board.serial.flush()
        try:
            snapshot.save(self._machine, self._config, directory, str(request.get("filename", "")))
        except (snapshot.SnapshotError, StateError, ram.RamError) as error:
            complain(f"{error}")
        except OSError as error:
            complain(f"could not write the checkpoint: {error}")
        else:
            if request.get("suspend") is True:
                self._machine.node.destroy()
                leave(RESET)
        self._machine.resume()


def _nothing(_signal: int, _frame: FrameType | None) -> None:
    """The byte in the wake-up pipe is what is acted upon."""


def complain(message: str) -> None:
    """A line on standard error, as bhyve's are."""
    sys.stderr.write(f"bhyve: {message}\n")
    sys.stderr.flush()


def leave(status: int) -> None:
    """End the process at once, from any thread."""
    sys.stderr.flush()
    os._exit(status)
