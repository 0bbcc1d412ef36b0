"""Talking to a guest's QEMU: one session of QMP at a time, through qemu.qmp.

QEMU takes one client on a socket and lets the next one wait, so a session is opened for what is to
be done and closed after it; time limits are the caller's. What the client before did not see
answered was dropped by QEMU when it went, so the first answer of a session is the truth.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from qemu.qmp import ExecuteError, QMPClient, QMPError

from bmigd.errors import LocalFault

# Whatever it would log is raised as well, and told by us in what it means for the guest.
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)


class MonitorLost(LocalFault):
    """QEMU does not answer, or its answer did not come: it may have done what it was asked."""

    def __init__(self, message: str) -> None:
        super().__init__("HYPERVISOR_LOST", message, "see vmm.log in the guest's run directory")


class MonitorRefused(LocalFault):
    """QEMU answered that it did not do it."""

    def __init__(self, command: str, words: str) -> None:
        super().__init__("HYPERVISOR_REFUSED", f"QEMU refused {command}: {words}")


class Monitor:
    """One session."""

    def __init__(self, client: QMPClient) -> None:
        self._client = client

    async def ask(self, command: str, **arguments: object) -> Any:
        """Have a command executed; MonitorRefused or MonitorLost."""
        named = {key.replace("_", "-"): value for key, value in arguments.items()}
        try:
            return await self._client.execute(command, named or None)
        except ExecuteError as error:
            raise MonitorRefused(command, str(error)) from error
        except (QMPError, OSError, EOFError) as error:
            raise MonitorLost(f"QEMU ended before it answered {command}") from error

    async def run_state(self) -> str:
        """QEMU's word for what the guest does: running, paused, inmigrate, postmigrate..."""
        return str((await self.ask("query-status"))["status"])

    async def migration(self) -> tuple[str, str]:
        """How its migration is, and what went wrong with it."""
        answer = await self.ask("query-migrate")
        return str(answer.get("status", "none")), str(answer.get("error-desc", ""))

    async def set_capabilities(self, **capabilities: bool) -> None:
        """Of the next migration."""
        listed = [
            {"capability": name.replace("_", "-"), "state": state}
            for name, state in capabilities.items()
        ]
        await self.ask("migrate-set-capabilities", capabilities=listed)

    async def pass_descriptor(self, name: str, descriptor: int) -> None:
        """Give QEMU a descriptor under a name; the caller's is its own still."""
        self._client.send_fd_scm(descriptor)
        await self.ask("getfd", fdname=name)


async def look(socket: Path, limit_s: float) -> str:
    """QEMU's word for what the guest does; "" if it does not answer soon: it may be asked something
    else just now, or be none.
    """
    try:
        async with asyncio.timeout(limit_s), session(socket) as monitor:
            return await monitor.run_state()
    except (LocalFault, TimeoutError):
        return ""


@asynccontextmanager
async def session(socket: Path) -> AsyncIterator[Monitor]:
    """A session, when it is our turn; MonitorLost if there is no QEMU behind the socket."""
    client = QMPClient()
    try:
        await client.connect(os.fspath(socket))
    except (QMPError, OSError, EOFError) as error:
        raise MonitorLost(f"nobody answers on {socket}") from error
    try:
        yield Monitor(client)
    finally:
        with suppress(QMPError, OSError, EOFError):  # QEMU may have ended meanwhile
            await client.disconnect()
