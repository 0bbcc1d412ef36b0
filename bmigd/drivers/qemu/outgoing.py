"""A QEMU guest that may leave: live memory, suspend, resume, release.

A suspended guest is its QEMU, stopped, with its disks let go and its memory in the file where it
was; the file of device state is for the destination, and for the day that QEMU ends meanwhile. So
resume() is `cont`, also for a daemon that was restarted. Rules that must not break:
- The supervisor knows of a suspend before the guest is stopped, and until it surely runs again.
- Kept state is put out of reach before the guest runs on: it is older than the disks then.
- A guest that an operator holds is not set off by us.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bmigd.drivers.base import THROTTLE_S, DirtyLog, Memory, StateFile, Suspended
from bmigd.drivers.memory import MappedMemory
from bmigd.drivers.qemu import saving, vmstate
from bmigd.drivers.qemu.arriving import load_file
from bmigd.drivers.qemu.command import MEMORY_ID, receiving
from bmigd.drivers.qemu.kept import Kept
from bmigd.drivers.qemu.monitor import Monitor, MonitorLost, MonitorRefused, session
from bmigd.drivers.qemu.site import POWERED_OFF, Site, gone, last_words
from bmigd.errors import LocalFault, NotPossible, StartFailed
from bmigd.guests.supervision import VmmStatus

HELD = "paused"
MOVABLE = ("running", HELD)
ANSWER_S = 20.0  # of a QEMU that runs its guest
LEFT = "postmigrate"  # the word for a guest whose state was saved


@dataclass
class Waking:
    """Guests of this node that QEMU was asked to run on and has not said yet that they do."""

    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def is_under_way(self, name: str) -> bool:
        """Whether one is."""
        return name in self.tasks and not self.tasks[name].done()


class QemuOutgoing:
    """One guest on its way out."""

    def __init__(self, site: Site, waking: Waking) -> None:
        self._site = site
        self._waking = waking
        self._kept = Kept(site.directory)
        self._memory: MappedMemory | None = None

    async def open(self) -> Memory:
        """Map its memory, if all of the guest can be moved: NotPossible (GUEST_NOT_MIGRATABLE)."""
        try:
            async with asyncio.timeout(ANSWER_S), session(self._site.monitor) as monitor:
                flaw = await self._flaw(monitor)
        except TimeoutError as error:
            raise MonitorLost(f"QEMU did not answer in {ANSWER_S:g} s") from error
        if flaw:
            raise NotPossible(
                "GUEST_NOT_MIGRATABLE",
                f"guest {self._site.name} cannot be moved: {flaw}",
                "shut it down and move it stopped",
                guest=self._site.name,
            )
        self._memory = await asyncio.to_thread(self._site.memory)
        return self._memory

    def dirty_log(self) -> DirtyLog:
        """The kernel's, of what QEMU writes: QEMU's own is for its own migration alone."""
        return self._site.dirty_log()

    async def watch(self) -> str:
        """Return when the guest stops. QEMU resets a guest by itself, in the same memory."""
        status = await self._site.supervision.ended()
        return f"it stopped by itself ({last_words(status)})"

    async def throttle(self, stopped_percent: int) -> None:
        """Stop QEMU for a part of the time; its monitor answers in between."""
        await self._site.supervision.throttle(stopped_percent, THROTTLE_S)

    async def suspend(self, still: Callable[[], None] = lambda: None) -> Suspended:
        """Stop the guest with its state in a file; too soon over for `still` to matter."""
        site, timeout_s = self._site, self._site.config.suspend_timeout_s
        asked_at = time.monotonic()
        if self._waking.is_under_way(site.name):
            raise LocalFault(
                "SUSPEND_FAILED",
                "an earlier suspend of the guest, which was given up, is still under way in QEMU",
                "look at the storage of this host; try again when QEMU answers",
            )
        try:
            async with asyncio.timeout(timeout_s):
                async with session(site.monitor) as monitor:
                    stopped_at, parts_us = await self._stop_and_save(monitor)
                parts_us |= await self._detach()
        except TimeoutError as error:
            raise LocalFault(
                "SUSPEND_TIMEOUT",
                f"QEMU did not finish the suspend in {timeout_s:g} s",
                "look at the load and the storage of this host",
            ) from error
        except MonitorLost as error:
            status = await site.ending()
            reason = "SUSPEND_FAILED" if status.is_alive else "GUEST_STOPPED"
            raise LocalFault(
                reason, f"the guest stopped while it was being suspended: {last_words(status)}"
            ) from error
        except MonitorRefused as error:
            raise LocalFault("SUSPEND_FAILED", error.message) from error
        memory = self._memory  # the host's page tables are filled: reading is twice as fast
        if memory is None or not memory.is_open:
            memory = await asyncio.to_thread(site.memory)
        files = (StateFile(vmstate.NAME, self._kept.file),)
        return Suspended(memory, files, parts_us, ran_on_us=_us(asked_at, stopped_at))

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
        if status.is_alive:
            try:
                await self._wake()
                return
            except MonitorLost:
                status = await site.ending()
        # A QEMU that was to bring it back and ended before it ran leaves it as it was.
        if self._kept.is_whole and (status.expect_suspend or not status.was_ready):
            await self._restore()
        elif status.exit_status != POWERED_OFF:
            await self._start_afresh(status)

    async def let_go_on(self) -> None:
        """Set a held guest off, by an operator's word. StartFailed."""
        with self._kept.out_of_reach():
            await self._site.set_off()

    async def release(self, image: Path | None = None) -> None:
        """Drop everything of the guest here, but for its memory if that is wanted."""
        await self._site.clear_away(image)

    async def _stop_and_save(self, monitor: Monitor) -> tuple[float, dict[str, int]]:
        """When the guest was told to stop, and what the time since then went to."""
        site, state = self._site, await monitor.run_state()
        if state == LEFT and self._keeps_held:
            await site.supervision.expect_suspend()
            return time.monotonic(), {}  # nothing has changed since: QEMU saves a guest once
        if state not in MOVABLE:
            raise LocalFault("SUSPEND_FAILED", f"QEMU says that the guest is {state}")
        partial = self._kept.begin(is_held=state == HELD)
        await site.supervision.expect_suspend()
        began = time.monotonic()
        await monitor.ask("stop")  # ends and flushes what goes to disks
        stopped = time.monotonic()
        most_bytes = vmstate.most_bytes(site.definition.memory_bytes)
        size_bytes = await saving.save(monitor, partial, most_bytes)
        self._kept.finish(partial, size_bytes)
        saved = time.monotonic()
        return began, {"stop": _us(began, stopped), "save state": _us(stopped, saved)}

    async def _detach(self) -> dict[str, int]:
        began = time.monotonic()
        await self._site.detach()
        return {"detach": _us(began, time.monotonic())} if self._site.definition.cards else {}

    async def _flaw(self, monitor: Monitor) -> str:
        """Why the guest could not be moved, in words; "" when it can."""
        state = await monitor.run_state()
        if state not in MOVABLE and not (state == LEFT and self._keeps_held):
            return f"QEMU says that it is {state}"
        backends = await monitor.ask("query-memdev")
        shared = [(one.get("id"), one["size"]) for one in backends if one.get("share")]
        if len(backends) != 1 or shared != [(MEMORY_ID, self._site.definition.memory_bytes)]:
            return "its memory is not one shared file"
        blocked = (await monitor.ask("query-migrate")).get("blocked-reasons", [])
        return "; ".join(map(str, blocked))

    @property
    def _keeps_held(self) -> bool:
        """Whether the guest is held, and its state is kept from an earlier suspend."""
        return self._kept.is_held and self._kept.is_whole

    async def _wake(self) -> None:
        """Have QEMU run the guest; when it does not answer in time, it will when it does."""
        tasks, name = self._waking.tasks, self._site.name
        if not self._waking.is_under_way(name):
            tasks[name] = asyncio.create_task(self._run_on())
        task = tasks[name]
        done, _ = await asyncio.wait({task}, timeout=self._site.config.suspend_timeout_s)
        if done:
            tasks.pop(name, None)
            await task
        else:
            await self._site.supervision.mark_running()

    async def _run_on(self) -> None:
        site = self._site
        status = await site.supervision.status() or gone(site.name)
        is_ours = status.expect_suspend and not self._kept.is_held
        async with session(site.monitor) as monitor:
            if (await monitor.migration())[0] in ("setup", "active", "device"):
                await monitor.ask("migrate_cancel")
            await site.attach()
            if is_ours:
                await self._continue(monitor)
        await site.supervision.mark_running()

    async def _continue(self, monitor: Monitor) -> None:
        try:
            with self._kept.out_of_reach():
                await monitor.ask("cont")
        except MonitorRefused as error:
            raise StartFailed(
                "START_FAILED",
                error.message,
                "see what else uses the guest's disks, and start it again",
                guest=self._site.name,
            ) from error

    async def _restore(self) -> None:
        """QEMU ended while the guest was suspended: a new one goes on from what was kept."""
        site = self._site
        await site.launch(receiving(await site.argv()))
        await load_file(site, self._kept.file)
        if self._kept.is_held:
            await site.supervision.mark_running()
        else:
            await self.let_go_on()

    async def _start_afresh(self, status: VmmStatus) -> None:
        """The last resort: QEMU ended and nothing was kept."""
        site, why = self._site, last_words(status)
        await site.start_afresh()
        raise LocalFault(
            "GUEST_RESTARTED",
            f"guest {site.name} was lost with its hypervisor ({why}):"
            " it was started again from its disk and its memory is lost",
            "read QEMU's words; the guest recovers as after a power failure",
        )


def _us(began: float, ended: float) -> int:
    return round((ended - began) * 1e6)
