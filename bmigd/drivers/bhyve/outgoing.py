"""A bhyve guest that may leave: live memory, suspend, resume, release.

The suspend is the trap. bhyvectl says nothing of its outcome, the outcome is in bhyve's exit and
files, and a request once sent cannot be taken back. So the supervisor is told first to expect it,
nothing is killed while a snapshot may be being written, and resume() waits for what comes of it.
"""

import asyncio
import re
import time

from bmigd.drivers.base import Memory, StateFile, Suspended
from bmigd.drivers.bhyve import snapshot
from bmigd.drivers.bhyve.command import restoring
from bmigd.drivers.bhyve.memory import live_memory, snapshot_memory
from bmigd.drivers.bhyve.site import Site
from bmigd.errors import LocalFault, StartFailed
from bmigd.guests.supervision import VmmStatus

# bhyve's only word on a failed checkpoint is a line on its standard error.
FAILURE = re.compile(rb"fail|error|could not|cannot|unable|exceeds|not support", re.IGNORECASE)
LOG_POLL_S = 0.02


class BhyveOutgoing:
    """One guest on its way out."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._file = site.kept_file

    async def open(self) -> Memory:
        """Map the VM node."""
        node = self._site.programs.node(self._site.name)
        return await asyncio.to_thread(live_memory, node, self._site.regions)

    async def watch(self) -> str:
        """Return when the guest stops or reboots by itself."""
        first: VmmStatus | None = None
        async for status in self._site.supervision.changes():
            first = first or status
            if not status.is_alive:
                return f"it stopped by itself (bhyve exited with {status.exit_status})"
            if status.restarts > first.restarts or status.pid != first.pid:
                return "it rebooted"
        raise AssertionError("changes() never ends")

    async def suspend(self) -> Suspended:
        """Stop the guest with its state in files."""
        began = time.monotonic()
        site = self._site
        await site.remove_directory(self._file.parent)
        self._file.parent.mkdir(mode=0o700, parents=True)
        said_before = self._log_size()
        await site.supervision.expect_suspend()
        await site.programs.request_suspend(site.name, self._file)
        try:
            async with asyncio.timeout(site.programs.config.suspend_timeout_s):
                status = await self._suspended_or_refused(said_before)
        except TimeoutError as error:
            raise LocalFault(
                "SUSPEND_TIMEOUT",
                f"bhyve did not finish the suspend in {site.programs.config.suspend_timeout_s:g} s",
                "look at the load and the spool's disk of this host",
            ) from error
        self._judge(status, said_before)
        memory = await asyncio.to_thread(snapshot_memory, self._file, site.regions)
        _, kern, meta = snapshot.files(self._file)
        spent_us = round((time.monotonic() - began) * 1e6)
        files = (StateFile("kern", kern), StateFile("meta", meta))
        return Suspended(memory, files, {"suspend": spent_us})

    async def resume(self) -> None:
        """Make the guest run here, whatever suspend() came to."""
        site = self._site
        status = await site.supervision.status()
        if status is None:
            raise StartFailed(
                "SUPERVISOR_LOST",
                f"the process that owns guest {site.name} is gone",
                "the host was restarted or the process was killed: start the guest again",
            )
        if status.is_alive and status.expect_suspend:
            status = await self._outlast_suspend()
        if status.is_alive:
            return
        flaw = snapshot.flaw_in_files(self._file, site.name, site.definition.memory_bytes)
        cold = await site.argv()
        if flaw:
            await self._start_afresh(cold, flaw)
        else:
            await site.execute(restoring(cold, self._file), restart_argv=cold)
        await site.remove_directory(self._file.parent)

    async def release(self) -> None:
        """Drop everything of the guest here."""
        await self._site.clear_away()
        await self._site.remove_directory(self._file.parent)

    async def _start_afresh(self, argv: list[str], flaw: str) -> None:
        """The last resort: the suspend ended the guest but did not save it."""
        await self._site.programs.destroy(self._site.name)
        await self._site.execute(argv, restart_argv=argv)
        raise LocalFault(
            "GUEST_RESTARTED",
            f"bhyve ended guest {self._site.name} without saving it ({flaw}):"
            " it was started again from its disk and its memory is lost",
            "look at the spool's free room; the guest recovers as after a power failure",
        )

    async def _outlast_suspend(self) -> VmmStatus:
        """A suspend was asked for and bhyve still runs: wait, or let it run on."""
        timeout_s = self._site.programs.config.suspend_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                status = await self._suspended_or_refused(0)
        except TimeoutError:
            status = await self._site.supervision.status() or _gone(self._site.name)
        if status.is_alive:
            # Should it come true after all, the supervisor undoes it.
            argv = restoring(await self._site.argv(), self._file)
            status = await self._site.supervision.give_up_suspend(self._file, argv)
        return status

    async def _suspended_or_refused(self, said_before: int) -> VmmStatus:
        while True:
            status = await self._site.supervision.status()
            if status is None:
                _gone(self._site.name)
            elif not status.is_alive or FAILURE.search(self._said_since(said_before)):
                return status
            await asyncio.sleep(LOG_POLL_S)

    def _judge(self, status: VmmStatus, said_before: int) -> None:
        """Raise unless the guest is down with a complete snapshot."""
        if status.is_alive:
            words = self._said_since(said_before).decode(errors="replace").strip()
            raise LocalFault("SUSPEND_FAILED", f"bhyve could not save the guest: {words[-400:]}")
        if status.exit_status != 0:
            raise LocalFault(
                "GUEST_STOPPED",
                f"the guest stopped while it was being suspended: bhyve exited with"
                f" {status.exit_status}",
            )
        flaw = snapshot.flaw_in_files(
            self._file, self._site.name, self._site.definition.memory_bytes
        )
        if flaw:
            raise LocalFault("SNAPSHOT_INCOMPLETE", f"bhyve left a bad snapshot: {flaw}")

    def _log_size(self) -> int:
        return len(self._said_since(0))

    def _said_since(self, position: int) -> bytes:
        try:
            return (self._site.supervision.directory / "vmm.log").read_bytes()[position:]
        except FileNotFoundError:
            return b""


def _gone(name: str) -> VmmStatus:
    raise LocalFault("SUPERVISOR_LOST", f"the process that owns guest {name} does not answer")
