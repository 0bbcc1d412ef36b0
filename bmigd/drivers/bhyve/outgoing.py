"""A bhyve guest that may leave: live memory, suspend, resume, release.

The suspend is the trap. bhyvectl says nothing of its outcome, the outcome is in bhyve's exit and
files, and a request once sent cannot be taken back. So the supervisor is told first to expect it,
nothing is killed while a snapshot may be being written, and resume() waits for what comes of it.
A second request is not made while the first may still come true: bhyve would serve both.
"""

import asyncio
import re
import time
from collections.abc import Callable
from pathlib import Path

from bmigd.drivers.base import THROTTLE_S, Memory, StateFile, Suspended
from bmigd.drivers.bhyve import snapshot
from bmigd.drivers.bhyve.command import restoring
from bmigd.drivers.bhyve.memory import live_memory, snapshot_memory
from bmigd.drivers.bhyve.site import Site
from bmigd.errors import LocalFault, StartFailed
from bmigd.files import size_of
from bmigd.guests.supervision import VmmStatus

# bhyve's only word on a failed checkpoint is a line on its standard error.
FAILURE = re.compile(
    rb"fail|error|could not|cannot|unable|exceeds|not support"
    rb"|no space|not permitted|denied|no such|invalid",  # bare words of strerror(3)
    re.IGNORECASE,
)
LOG_POLL_S = 0.02
WRITE_POLL_S = 0.005  # the guest is down meanwhile
POWERED_OFF = (1, 2)  # bhyve's exit status for power-off and halt


class BhyveOutgoing:
    """One guest on its way out."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._file = site.kept_file
        self._opened: tuple[int, int] | None = None  # of which run of the guest

    async def open(self) -> Memory:
        """Map the VM node."""
        status = await self._site.supervision.status() or _gone(self._site.name)
        self._opened = _run_of(status)
        node = self._site.programs.node(self._site.name)
        return await asyncio.to_thread(live_memory, node, self._site.regions)

    def dirty_log(self) -> None:
        """None: bhyve tells nobody which pages were written."""

    async def watch(self) -> str:
        """Return when the guest stops or reboots by itself."""
        async for status in self._site.supervision.changes():
            if not status.is_alive:
                return f"it stopped by itself (bhyve exited with {status.exit_status})"
            self._opened = self._opened or _run_of(status)
            if _run_of(status) != self._opened:
                return "it rebooted"
        raise AssertionError("changes() never ends")

    async def throttle(self, stopped_percent: int) -> None:
        """Stop bhyve for a part of the time."""
        await self._site.supervision.throttle(stopped_percent, THROTTLE_S)

    async def suspend(self, still: Callable[[], None] = lambda: None) -> Suspended:
        """Stop the guest with its state in files.

        bhyve creates the file of memory, pauses vCPUs and devices, and only then begins to write.
        """
        began = time.monotonic()
        site = self._site
        await self._require_none_pending()
        await site.remove_directory(self._file.parent)
        self._file.parent.mkdir(mode=0o700, parents=True)
        status = await site.supervision.expect_suspend()
        await self._request()
        try:
            async with asyncio.timeout(site.programs.config.suspend_timeout_s):
                status = await self._being_written(status, still)
                status = await self._suspended_or_refused(status)
        except TimeoutError as error:
            raise LocalFault(
                "SUSPEND_TIMEOUT",
                f"bhyve did not finish the suspend in {site.programs.config.suspend_timeout_s:g} s",
                "look at the load and the spool's disk of this host",
            ) from error
        self._judge(status)
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
            status = await self._outlast_suspend(status)
        elif status.is_alive and not status.was_ready:
            status = await self._outlast_start(status)
        if status.is_alive:
            await self._drop_needless(status)
            return
        if not _stopped_itself(status):
            await self._bring_back(status)
        await site.remove_directory(self._file.parent)

    async def release(self, image: Path | None = None) -> None:
        """Drop everything of the guest here, but for its memory if that is wanted."""
        await self._site.clear_away()
        if image and self._file.exists():
            await asyncio.to_thread(self._file.rename, image)
        await self._site.remove_directory(self._file.parent)

    async def _bring_back(self, status: VmmStatus) -> None:
        site = self._site
        flaw = f"bhyve exited with {status.exit_status}"
        if status.is_suspended:  # otherwise what lies there is of an earlier time
            flaw = snapshot.flaw_in_files(self._file, site.name, site.definition.memory_bytes)
        cold = await site.argv()
        if flaw:
            await self._start_afresh(cold, flaw)
        else:
            await site.execute(restoring(cold, self._file), restart_argv=cold)

    async def _start_afresh(self, argv: list[str], flaw: str) -> None:
        """The last resort: the suspend ended the guest but did not save it."""
        await self._site.programs.destroy(self._site.name)
        await self._site.execute(argv, restart_argv=argv)
        await self._site.remove_directory(self._file.parent)
        raise self._restarted(flaw)

    def _restarted(self, flaw: str) -> LocalFault:
        return LocalFault(
            "GUEST_RESTARTED",
            f"bhyve ended guest {self._site.name} without saving it ({flaw}):"
            " it was started again from its disk and its memory is lost",
            "look at the spool's free room; the guest recovers as after a power failure",
        )

    async def _require_none_pending(self) -> None:
        """bhyve serves requests one after the other: a second would run after the first."""
        status = await self._site.supervision.status() or _gone(self._site.name)
        if status.late_suspend and not self._was_refused(status):
            raise LocalFault(
                "SUSPEND_FAILED",
                "an earlier suspend of the guest, which was given up, is still under way in bhyve",
                "look at the spool's disk of this host; try again when it has ended",
            )

    async def _request(self) -> None:
        """Ask for the suspend; nothing is to be waited for if the request did not leave."""
        try:
            await self._site.programs.request_suspend(self._site.name, self._file)
        except LocalFault:
            await self._give_up()
            raise

    async def _give_up(self) -> VmmStatus:
        """Expect it no more; should it come true after all, the supervisor undoes it."""
        argv = restoring(await self._site.argv(), self._file)
        return await self._site.supervision.give_up_suspend(self._file, argv)

    async def _drop_needless(self, status: VmmStatus) -> None:
        """A suspend that failed, or was undone, leaves files as large as memory; one that may still
        come true needs them.
        """
        is_whole = snapshot.suffixed(self._file, "meta").exists()
        if not status.late_suspend or (self._was_refused(status) and not is_whole):
            await self._site.remove_directory(self._file.parent)

    async def _outlast_start(self, began: VmmStatus) -> VmmStatus:
        """Somebody began to bring it back: a daemon that was cut off then, or the supervisor."""
        status = await self._site.until_up()
        if status.restarts > began.restarts:  # the supervisor could not undo a late suspend
            raise self._restarted("its state could not be restored")
        return status

    async def _outlast_suspend(self, status: VmmStatus) -> VmmStatus:
        """A suspend was asked for and bhyve still runs: wait, or let it run on."""
        timeout_s = self._site.programs.config.suspend_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                status = await self._suspended_or_refused(status)
        except TimeoutError:
            status = await self._site.supervision.status() or _gone(self._site.name)
        return await self._give_up() if status.is_alive else status

    async def _being_written(self, status: VmmStatus, still: Callable[[], None]) -> VmmStatus:
        """Until bhyve writes the guest's memory, or has ended, or refused."""
        while status.is_alive and not self._was_refused(status):
            if size_of(self._file):
                if _run_of(status) == self._opened:  # else what open() gave is another's memory
                    still()
                break
            status = await self._site.supervision.newer(status, WRITE_POLL_S)
        return status

    async def _suspended_or_refused(self, status: VmmStatus) -> VmmStatus:
        while status.is_alive and not self._was_refused(status):
            status = await self._site.supervision.newer(status, LOG_POLL_S)
        return status

    def _judge(self, status: VmmStatus) -> None:
        """Raise unless the guest is down with a complete snapshot."""
        if status.is_alive:
            words = self._said(status).decode(errors="replace").strip()
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

    def _was_refused(self, status: VmmStatus) -> bool:
        """Whether bhyve said that the suspend failed: then its guest runs."""
        return bool(FAILURE.search(self._said(status)))

    def _said(self, status: VmmStatus) -> bytes:
        """bhyve's words since the suspend was asked for."""
        try:
            log = (self._site.supervision.directory / "vmm.log").read_bytes()
        except FileNotFoundError:
            return b""
        return log[status.log_mark :]


def _run_of(status: VmmStatus) -> tuple[int, int]:
    """Which hypervisor it is of all that the guest has had: a reboot of bhyve's is another one."""
    return status.pid, status.restarts


def _stopped_itself(status: VmmStatus) -> bool:
    """Whether the guest ran and was powered off or halted from inside: so it stays."""
    return status.was_ready and status.exit_status in POWERED_OFF


def _gone(name: str) -> VmmStatus:
    raise LocalFault("SUPERVISOR_LOST", f"the process that owns guest {name} does not answer")
