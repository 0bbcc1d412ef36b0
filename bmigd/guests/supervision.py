"""The daemon's end of a guest's supervisor: start one, find it again, ask it things.

A supervisor is found by its socket alone, so a restarted daemon finds the guests it left.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bmigd.errors import LocalFault
from bmigd.guests.signs import LAST_WORDS_BYTES

ANSWER_TIMEOUT_S = 10.0
START_TIMEOUT_S = 20.0
KILLED_S = 30.0  # until a process that was killed has ended
TOLD_S = 0.5
SOCKET_PATH_BYTES = 103  # FreeBSD has 104 with the final NUL
LAST_WORDS = 800  # of a hypervisor, in an error


@dataclass(frozen=True)
class VmmStatus:
    """What a supervisor saw of its hypervisor."""

    sequence: int
    state: str  # idle, starting, running, exited
    pid: int
    exit_status: int | None
    was_ready: bool
    expect_suspend: bool
    is_suspended: bool
    late_suspend: bool
    log_mark: int
    restarts: int
    error: str
    ran_at_s: float = 0.0  # it surely ran then, by the host's monotonic clock; 0: not known

    @property
    def is_alive(self) -> bool:
        """Whether a hypervisor process exists."""
        return self.state in ("starting", "running")

    def said(self, most: int = LAST_WORDS) -> str:
        """The last of what it said, in so many characters: that tells why it ended."""
        return self.error[-most:] or "it said nothing"


def ended_words(hypervisor: str, status: VmmStatus, guest: str) -> str:
    """How it ended, and where the guest's own last words are. Pure."""
    said = status.said(LAST_WORDS_BYTES)
    where = f"bmigctl guest console --history {guest} has what the guest said"
    return f"{hypervisor} exited with {status.exit_status}: {said}; {where}"


class Supervision:
    """One guest's supervisor, by its directory (0700, holding its sockets and logs)."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def exists(self) -> bool:
        """Whether a supervisor has been started and not ended."""
        return (self.directory / "control").exists()

    async def ensure(self) -> None:
        """Start a supervisor unless one answers."""
        if await self.status() is not None:
            return
        self._require_short_path()
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.directory / "supervisor.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "bmigd.guests.supervisor", "--detach"),
                str(self.directory),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert process.stdout
        said = b""
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                said = await process.stdout.read()
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)  # it has a session of its own
        finally:
            await process.wait()
        if said != b"ready\n":
            words = self.directory / "supervisor.log"
            lines = words.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
            raise LocalFault(
                "SUPERVISOR_FAILED",
                f"the supervisor did not start: {lines[-1]}",
                f"see {words} on that host",
            )

    def _require_short_path(self) -> None:
        if flaw := self.path_flaw():
            raise LocalFault("SUPERVISOR_FAILED", flaw, "shorten node.run_dir or the guest's name")

    def path_flaw(self) -> str:
        """Why its sockets could not be made, in words; "" when they can."""
        path = self.directory / "control"
        if len(os.fsencode(path)) <= SOCKET_PATH_BYTES:
            return ""
        return f"the path of its supervisor's socket is longer than {SOCKET_PATH_BYTES}: {path}"

    async def status(self) -> VmmStatus | None:
        """What the supervisor says, or None when there is none."""
        try:
            return await self._ask(op="status")
        except LocalFault:
            return None

    async def has_ended(self) -> bool:
        """Whether there surely is none: one that does not answer may be busy, or stopped."""
        try:
            _, writer = await asyncio.open_unix_connection(self.directory / "control")
        except (FileNotFoundError, ConnectionRefusedError):
            return True
        except OSError:
            return False
        writer.close()
        return False

    async def run(self, **arguments: object) -> VmmStatus:
        """Execute a hypervisor: argv, and as far as wanted restart_argv with destroy_argv,
        ready_socket, env (beside the daemon's own), scratch (files to remove when the guest ended
        by itself).
        """
        return await self._ask(op="run", **arguments)

    async def mark_running(self) -> VmmStatus:
        """Say, before it may, that the guest of a hypervisor without ready_socket runs."""
        return await self._ask(op="mark_running")

    async def unmark_running(self) -> VmmStatus:
        """Take that back: the hypervisor answered that it did not run the guest."""
        return await self._ask(op="unmark_running")

    async def note_ran(self) -> None:
        """Say that it surely runs now. Only told: nothing waits for long, or is lost, if nobody
        hears it.
        """
        with contextlib.suppress(LocalFault, TimeoutError):
            async with asyncio.timeout(TOLD_S):
                await self._ask(op="ran")

    async def expect_suspend(self) -> VmmStatus:
        """From now on exit status 0 means suspended."""
        return await self._ask(op="expect_suspend")

    async def give_up_suspend(self, file: Path, argv: list[str]) -> VmmStatus:
        """Expect no suspend any more; should it come true, run argv."""
        late = {"file": str(file), "argv": argv}
        return await self._ask(op="give_up_suspend", late_suspend=late)

    async def signal(self, name: str) -> VmmStatus:
        """Send the hypervisor a signal, such as TERM (the power button) or KILL."""
        return await self._ask(op="signal", name=name)

    async def throttle(self, stopped_percent: int, lease_s: float) -> VmmStatus:
        """Have the hypervisor stopped for such a part of the time, for so long from now; 0 ends it.

        A signal, a suspend and the hypervisor's end do so too.
        """
        return await self._ask(op="throttle", stopped_percent=stopped_percent, lease_s=lease_s)

    async def newer(self, status: VmmStatus, timeout_s: float) -> VmmStatus:
        """The status once it changes, or the same after a while."""
        return await self._ask(op="wait", sequence=status.sequence, timeout_s=timeout_s)

    async def changes(self) -> AsyncIterator[VmmStatus]:
        """The status now and after every change."""
        status = await self._ask(op="status")
        yield status
        while True:
            newer = await self.newer(status, 5.0)
            if newer.sequence > status.sequence:
                status = newer
                yield status

    async def until(self, is_so: Callable[[VmmStatus], bool]) -> VmmStatus:
        """The first status that is so."""
        async for status in self.changes():
            if is_so(status):
                return status
        raise AssertionError("changes() never ends")

    async def ended(self) -> VmmStatus:
        """The status once no hypervisor is left."""
        return await self.until(lambda status: not status.is_alive)

    async def kill(self) -> None:
        """End the hypervisor at once; LocalFault (HYPERVISOR_STUCK) if the kernel does not let it
        go. Nobody waits longer: one that hangs would keep a daemon from its start.
        """
        await self.signal("KILL")
        try:
            async with asyncio.timeout(KILLED_S):
                await self.ended()
        except TimeoutError as error:
            raise LocalFault(
                "HYPERVISOR_STUCK",
                f"the hypervisor of {self.directory.name} was killed and has not ended in"
                f" {KILLED_S:g} s: it hangs in the kernel",
                "see what it waits for, such as a storage that does not answer; it is tried again",
            ) from error

    async def quit(self) -> None:
        """End the supervisor, if there is one; its hypervisor must have ended."""
        if await self.status() is not None:
            await self._ask(op="quit")
        await asyncio.to_thread(shutil.rmtree, self.directory, ignore_errors=True)

    async def console(self) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
        """Attach to the console: recent output, then a connection both ways."""
        path = self.directory / "console"
        try:
            reader, writer = await asyncio.open_unix_connection(path)
            size_bytes = int.from_bytes(await reader.readexactly(4))
            return await reader.readexactly(size_bytes), reader, writer
        except (OSError, EOFError) as error:
            raise LocalFault("CONSOLE_GONE", f"cannot attach to the console: {error}") from error

    async def _ask(self, **request: Any) -> VmmStatus:
        path = self.directory / "control"
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                reader, writer = await asyncio.open_unix_connection(path, limit=1 << 20)
                try:
                    writer.write(json.dumps(request).encode() + b"\n")
                    await writer.drain()
                    line = await reader.readline()
                finally:
                    writer.close()
            answer = json.loads(line)
        except (OSError, ValueError) as error:  # TimeoutError is one, without words
            words = getattr(error, "strerror", None) or f"nothing came in {ANSWER_TIMEOUT_S:g} s"
            raise LocalFault(
                "SUPERVISOR_LOST",
                f"the process that owns the guest of {self.directory} does not answer:"
                f" {words.lower()}",
                f"see {self.directory / 'supervisor.log'} on that host, and whether it is stopped",
            ) from error
        if failed := answer.pop("failed", None):
            raise LocalFault(
                "SUPERVISOR_REFUSED",
                f"the process that owns the guest could not {request['op']}: {failed}",
                "a program that is missing is to be installed, or its path in the configuration to"
                " be corrected",
            )
        return VmmStatus(**answer)
