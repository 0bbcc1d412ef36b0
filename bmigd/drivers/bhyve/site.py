"""One bhyve guest on this host: its programs, its supervisor, its places, its command line."""

import asyncio
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bmigd.drivers.base import Region
from bmigd.drivers.bhyve.command import bhyve_argv, regions
from bmigd.drivers.bhyve.programs import Programs
from bmigd.drivers.bhyve.taps import BhyveTaps
from bmigd.errors import StartFailed, Taken
from bmigd.guests.definition import Definition
from bmigd.guests.supervision import Supervision, VmmStatus


@dataclass(frozen=True)
class Site:
    """Where and how one guest lives here. Holds no state of its own."""

    definition: Definition
    programs: Programs
    supervision: Supervision
    taps: BhyveTaps
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
    def kept_file(self) -> Path:
        """Where a suspend of this guest goes."""
        return self.spool / f"{self.name}.out" / "state"

    @property
    def received_file(self) -> Path:
        """Where a received guest's memory goes."""
        return self.spool / f"{self.name}.in" / "state"

    async def argv(self) -> list[str]:
        """The command line that starts the guest; its taps exist when this returns."""
        taps = await self.taps.ensure(self.definition)
        return bhyve_argv(self.programs.config.bhyve, self.definition, self.storage, taps)

    async def execute(self, argv: list[str], restart_argv: list[str]) -> None:
        """Run a hypervisor until its guest runs; StartFailed if it does not come to that."""
        await self.supervision.run(
            argv=argv,
            restart_argv=restart_argv,
            destroy_argv=self.programs.destroy_argv(self.name),
            ready_socket=str(self.programs.control_socket(self.name)),
        )
        status = await self.until_up()
        if not status.was_ready or not status.is_alive:
            raise StartFailed(
                "START_FAILED",
                f"bhyve exited with {status.exit_status}: {status.said()}",
                "read its words above; that host or the guest's definition does not suit",
                guest=self.name,
                never_ran=not status.was_ready,
            )

    async def until_up(self) -> VmmStatus:
        """Until a bhyve that was started runs its guest, or has ended; it is ended if late."""
        timeout_s = self.programs.config.start_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                return await self.supervision.until(
                    lambda seen: seen.was_ready or not seen.is_alive
                )
        except TimeoutError:
            late = await self.supervision.signal("KILL")
            # The supervisor may start another one at once: then none is ever seen to be missing.
            status = await self.supervision.until(
                lambda seen: seen.pid != late.pid or not seen.is_alive
            )
            return _with_words(status, f"it was not up after {timeout_s:g} s")

    async def require_no_other(self) -> None:
        """Nothing but our supervisor runs a guest of this name: Taken (NAME_TAKEN).

        A bhyve that another program started would be destroyed with its VM, or run a second time.
        """
        status = await self.supervision.status()
        if not (status and status.is_alive) and await self.programs.answers(self.name):
            words = f"a bhyve that does not belong to bmigd runs a guest {self.name} on this host"
            advice = (
                "stop it with the program that started it, and keep that from starting it again"
            )
            if self.supervision.directory.exists():
                words = f"a bhyve of guest {self.name} runs here without the process that owned it"
                advice = f"end it with: bmigctl guest stop --force {self.name}"
            raise Taken("NAME_TAKEN", words, advice, guest=self.name)

    async def clear_away(self) -> None:
        """End the hypervisor and the supervisor and remove what they left. Idempotent."""
        is_ours = self.supervision.directory.exists()
        status = await self.supervision.status()
        if status and status.is_alive:
            await self.supervision.expect_suspend()  # its end is no reboot
            await self.supervision.kill()
        await self.supervision.quit()
        if is_ours or not await self.programs.answers(self.name):
            await self.programs.destroy(self.name)
            self.programs.control_socket(self.name).unlink(missing_ok=True)
        await self.clear_network()

    async def clear_network(self) -> None:
        """Remove the guest's taps. Idempotent."""
        await self.taps.remove(self.name)

    async def remove_directory(self, directory: Path) -> None:
        """Remove a spool directory of this guest."""
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)


def _with_words(status: VmmStatus, words: str) -> VmmStatus:
    return VmmStatus(**{**vars(status), "error": f"{words}. {status.error}".strip()})
