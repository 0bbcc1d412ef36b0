"""One QEMU guest on this host: its memory, its supervisor, its monitor, its command line."""

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bmigd import host
from bmigd.config import Qemu
from bmigd.drivers.base import Region
from bmigd.drivers.dirtylog.log import PreloadedLog, preloaded
from bmigd.drivers.memory import MappedMemory, make_file, reserve
from bmigd.drivers.qemu import devices, images
from bmigd.drivers.qemu.command import Setting, qemu_argv
from bmigd.drivers.qemu.monitor import MonitorLost, MonitorRefused, session
from bmigd.drivers.qemu.programs import Probe
from bmigd.drivers.qemu.taps import LinuxTaps
from bmigd.drivers.qemu.unwatched import WORDS, end_unwatched, unwatched
from bmigd.errors import LocalFault, StartFailed, Taken
from bmigd.guests.definition import Definition
from bmigd.guests.supervision import Supervision, VmmStatus
from bmigd.unbroken import unbroken

RESERVED_BYTES = 16 << 20  # at once: nobody writes to the file meanwhile
CONNECT_POLL_S = 0.02
ENDING_S = 5.0  # from the end of a session to the exit that caused it
POWERED_OFF = 0  # QEMU's exit status


def regions(memory_bytes: int) -> tuple[Region, ...]:
    """All memory as it lies in the file; where the guest sees it is QEMU's business."""
    return (Region("ram", 0, memory_bytes),)


@dataclass(frozen=True)
class Site:
    """Where and how one guest lives here. Holds no state of its own."""

    definition: Definition
    config: Qemu
    probe: Callable[[], Probe]
    supervision: Supervision
    taps: LinuxTaps
    spool: Path
    storage: Mapping[str, Path]

    @property
    def name(self) -> str:
        """The guest's name."""
        return self.definition.name

    @property
    def regions(self) -> tuple[Region, ...]:
        """The guest's memory."""
        return regions(self.definition.memory_bytes)

    @property
    def directory(self) -> Path:
        """Where its memory and state are, for as long as it is here."""
        return self.spool / f"{self.name}.qemu"

    @property
    def memory_file(self) -> Path:
        """What QEMU maps."""
        return self.directory / "ram"

    @property
    def monitor(self) -> Path:
        """QEMU's socket."""
        return monitor_of(self.supervision)

    @property
    def _log_socket(self) -> Path:
        """Of the object preloaded into QEMU."""
        return self.supervision.directory / "dirtylog"

    @property
    def is_in_memory(self) -> bool:
        """Whether the spool is: then memory may be written while it is being reserved."""
        return host.is_in_memory(self.spool)

    def dirty_log(self) -> PreloadedLog:
        """A log of what QEMU writes to its memory, not open."""
        unseen = devices.unseen(self.definition)
        return PreloadedLog(self._log_socket, self.memory_file, self.regions, unseen)

    def memory(self) -> MappedMemory:
        """Its memory, to read. Blocks."""
        return MappedMemory(self.memory_file, self.regions, [0])

    async def make_memory(self, image: Path | None = None) -> None:
        """New memory, all zero, or the image; none of it is reserved."""
        self.directory.mkdir(mode=0o700, parents=True)
        size_bytes = self.definition.memory_bytes
        await asyncio.to_thread(make_file, self.memory_file, size_bytes, image)

    async def reserve_memory(self) -> None:
        """Before QEMU maps it: QEMU dies if its mapping cannot be filled.

        Takes 0.2 to 0.3 s for each GiB, so it is done by parts, between which memory is written and
        a cancellation comes through.
        """
        size_bytes = self.definition.memory_bytes
        for done in range(0, size_bytes, RESERVED_BYTES):
            length_bytes = min(RESERVED_BYTES, size_bytes - done)
            await unbroken(asyncio.to_thread(reserve, self.memory_file, done, length_bytes))

    async def argv(self) -> list[str]:
        """The command line that makes the guest; its taps exist when this returns."""
        storage = dict(self.storage)
        await asyncio.to_thread(images.require_usable, self.definition, storage)
        here = Setting(
            qemu=self.config.qemu,
            accel=(await asyncio.to_thread(self.probe)).accel,
            memory=self.memory_file,
            monitor=self.monitor,
            storage=storage,
            taps=await self.taps.ensure(self.definition) if self.definition.cards else {},
        )
        return qemu_argv(self.definition, here)

    async def start_afresh(self) -> None:
        """Start the guest from its firmware, whatever was here of it before. StartFailed."""
        await self.clear_away()
        try:
            argv = await self.argv()
            await self.make_memory()
            await self.reserve_memory()
            await self.supervision.ensure()
            await self.launch(argv)
            await self.set_off()
        except BaseException:
            status = await self.supervision.status()
            if status and status.is_alive:
                await self.supervision.signal("KILL")  # the supervisor stays, to tell why
            await self.clear_network()
            await self.remove_files()
            raise

    async def require_watched(self) -> None:
        """No QEMU runs the guest without a supervisor that says so: Taken (NAME_TAKEN)."""
        if pid := await pid_unwatched(self.supervision):
            raise Taken(
                "NAME_TAKEN",
                f"guest {self.name} may run here: {WORDS.format(pid=pid)}",
                f"end it with: bmigctl guest stop --force {self.name}",
                guest=self.name,
            )

    async def require_no_other(self) -> None:
        """Nothing runs the guest: Taken (NAME_TAKEN). A look before may have had no answer."""
        await self.require_watched()
        status = await self.supervision.status()
        if status and status.is_alive and status.was_ready and not status.expect_suspend:
            raise Taken("NAME_TAKEN", f"guest {self.name} runs here", "", guest=self.name)

    async def launch(self, argv: list[str]) -> None:
        """Execute QEMU and wait until it can be asked; the guest does not run yet. StartFailed."""
        timeout_s = self.config.start_timeout_s
        await self.supervision.run(
            argv=argv, scratch=[str(self.memory_file)], env=preloaded(self._log_socket)
        )
        try:
            async with asyncio.timeout(timeout_s):
                await self._answering()
        except TimeoutError:
            await self.supervision.signal("KILL")
            raise self.not_started(
                await self.supervision.ended(), f"no answer in {timeout_s:g} s"
            ) from None
        except MonitorLost as error:
            raise self.not_started(await self.supervision.ended(), error.message) from error

    async def _answering(self) -> None:
        while True:
            await asyncio.sleep(CONNECT_POLL_S)
            try:
                async with session(self.monitor) as monitor:
                    await monitor.run_state()  # answered when all devices are made
                return
            except MonitorLost:
                status = await self.supervision.status()
                if not (status and status.is_alive):
                    raise

    async def set_off(self) -> None:
        """Let the guest run. StartFailed says whether it surely never did.

        The supervisor is told before: whatever becomes of QEMU then, nobody says that it never ran,
        unless QEMU answers that it did not run it.
        """
        try:
            async with (
                asyncio.timeout(self.config.start_timeout_s),
                session(self.monitor) as monitor,
            ):
                await monitor.run_state()
                await self.supervision.mark_running()
                await monitor.ask("cont")
            await self.supervision.note_ran()
        except MonitorRefused as error:
            await self.supervision.unmark_running()
            status = await self.supervision.status() or gone(self.name)
            raise self.not_started(status, error.message) from error
        except (MonitorLost, TimeoutError) as error:
            status = await self.ending()
            raise self.not_started(status, str(error) or "QEMU does not answer") from error

    def not_started(self, status: VmmStatus, why: str) -> StartFailed:
        """The error for a guest that did not come to run."""
        return StartFailed(
            "START_FAILED",
            f"{why}; {last_words(status)}",
            "read QEMU's words above; that host or the guest's definition does not suit",
            guest=self.name,
            never_ran=not status.was_ready,
        )

    async def ending(self) -> VmmStatus:
        """The status once QEMU has ended, or after a while as it is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ENDING_S):
                return await self.supervision.ended()
        return await self.supervision.status() or gone(self.name)

    async def clear_away(self, image: Path | None = None) -> None:
        """End QEMU and the supervisor and remove everything of the guest. Idempotent.

        Its memory is moved to `image`, if that is given.
        """
        status = await self.supervision.status()
        if status is None and await self.supervision.has_ended():
            await asyncio.to_thread(end_unwatched, self.monitor)
        elif status and status.is_alive:
            await self.supervision.kill()
        await self.supervision.quit()
        await self.clear_network()
        if image and self.memory_file.exists():
            await asyncio.to_thread(self.memory_file.rename, image)
        await self.remove_files()

    async def remove_files(self) -> None:
        """Memory and state. Idempotent."""
        await asyncio.to_thread(shutil.rmtree, self.directory, ignore_errors=True)

    async def clear_network(self) -> None:
        """Remove the guest's taps. Idempotent."""
        if self.definition.cards:
            await self.taps.remove(self.name)

    async def detach(self) -> None:
        """Take the guest off its networks: it is about to run elsewhere."""
        if self.definition.cards:
            await self.taps.detach(self.name)

    async def attach(self) -> None:
        """Put it back."""
        if self.definition.cards:
            await self.taps.attach(self.name)


def last_words(status: VmmStatus) -> str:
    """How QEMU is, and what it said last."""
    if status.is_alive:
        return f"QEMU is there: {status.said()}"
    return f"QEMU exited with {status.exit_status}: {status.said()}"


def gone(name: str) -> VmmStatus:
    """The supervisor was there and is not any more."""
    raise LocalFault("SUPERVISOR_LOST", f"the process that owns guest {name} does not answer")


def monitor_of(supervision: Supervision) -> Path:
    """QEMU's socket."""
    return supervision.directory / "qmp"


async def pid_unwatched(supervision: Supervision) -> int:
    """Of a QEMU whose supervisor surely has ended; 0 if there is none."""
    if not await supervision.has_ended():
        return 0
    return await asyncio.to_thread(unwatched, monitor_of(supervision))
