"""A real supervisor whose hypervisors are tiny shell scripts."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

from bmigd.errors import LocalFault
from bmigd.guests.supervision import Supervision, VmmStatus

# "The guest runs" is a socket that appears; the scripts cannot make one, so they ask this.
LISTEN = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()"


class Guest:
    """One guest's supervisor and the scripts it is given."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.supervision = Supervision(directory / "sup")
        self.ready = directory / "ready"
        self.log = directory / "log"

    def script(self, name: str, then: str, is_ready: bool = True) -> list[str]:
        """A hypervisor that notes its start, signals that the guest runs, and does something."""
        signals = f'{sys.executable} -c "{LISTEN}" {self.ready}; ' if is_ready else ""
        return ["/bin/sh", "-c", f"echo {name} >> {self.log}; {signals}{then}"]

    async def run(self, argv: list[str], **others: list[str] | dict[str, str]) -> None:
        """Execute it."""
        lines: dict[str, Any] = {
            "restart_argv": self.script("again", "exec sleep 60"),
            "destroy_argv": ["/bin/sh", "-c", f"echo destroy >> {self.log}"],
            **others,
        }
        await self.supervision.run(argv=argv, ready_socket=str(self.ready), **lines)

    async def until(self, state: str, restarts: int = 0) -> VmmStatus:
        """The status once it has come to that."""
        async with asyncio.timeout(20):
            return await self.supervision.until(
                lambda seen: seen.state == state and seen.restarts >= restarts
            )

    def ran(self) -> list[str]:
        """What was executed so far."""
        return self.log.read_text().split()

    async def end(self) -> None:
        """Whatever runs, by its process id."""
        while status := await self.supervision.status():
            if status.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(status.pid, signal.SIGKILL)
                await self.until("exited")
            with contextlib.suppress(LocalFault):
                await self.supervision.quit()
