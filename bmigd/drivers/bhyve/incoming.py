"""A bhyve guest that may come: a file that fills up with its memory, and `bhyve -r` on it."""

import asyncio
import os
from pathlib import Path

from bmigd.drivers.base import IncomingMemory, Witness
from bmigd.drivers.bhyve import ports, snapshot
from bmigd.drivers.bhyve.command import restoring
from bmigd.drivers.bhyve.memory import received_memory
from bmigd.drivers.bhyve.site import Site
from bmigd.errors import BadBytes, LocalFault

STATE_NAMES = ("kern", "meta")


class BhyveIncoming:
    """One guest on its way in."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._file = site.received_file
        self._argv: list[str] = []

    async def prepare(self, image: Path | None = None) -> IncomingMemory:
        """A sparse file for memory, or the image; and taps."""
        site = self._site
        await site.require_no_other()
        await self.discard()
        ports.require_free(site.definition)
        self._file.parent.mkdir(mode=0o700, parents=True)
        memory = await asyncio.to_thread(received_memory, self._file, site.regions, image)
        self._argv = await site.argv()
        return memory

    async def stand_by(self) -> None:
        """A supervisor that waits."""
        await self._site.supervision.ensure()

    def state_path(self, name: str) -> Path:
        """FILE.kern or FILE.meta."""
        if name not in STATE_NAMES:
            raise BadBytes("STATE_INVALID", f"{name!r} is not a file of bhyve's device state")
        return snapshot.suffixed(self._file, name)

    async def check(self) -> None:
        """The snapshot is complete, every file that bhyve will open can be opened, and there is a
        supervisor to execute it: one that is lost later leaves no proof that it never did.
        """
        definition = self._site.definition
        if await self._site.supervision.status() is None:
            raise LocalFault(
                "SUPERVISOR_LOST", f"the process that is to own guest {definition.name} is gone"
            )
        flaw = snapshot.flaw_in_files(self._file, definition.name, definition.memory_bytes)
        if flaw:
            raise BadBytes("STATE_INVALID", f"the device state cannot be used: {flaw}")
        images = [str(self._site.storage[storage] / image) for storage, image in definition.disks]
        for path in (*definition.firmware.paths, *images):
            if not os.access(path, os.R_OK):
                raise LocalFault("FILE_MISSING", f"{path} cannot be read")
        ports.require_free(definition)

    async def start(self) -> None:
        """`bhyve -r`; the file is only read until the guest runs."""
        argv = self._argv or await self._site.argv()
        await self._site.execute(restoring(argv, self._file), restart_argv=argv)

    async def witness(self) -> Witness:
        """What the supervisor saw."""
        status = await self._site.supervision.status()
        if status is None:
            return Witness(supervisor=False)
        return Witness(
            supervisor=True,
            executed=status.state != "idle",
            runs=status.is_alive and status.was_ready,
            never_ran=status.state == "exited" and not status.was_ready,
            starting=status.is_alive and not status.was_ready,
        )

    async def accept(self) -> None:
        """Remove the files that it was restored from."""
        await self._site.remove_directory(self._file.parent)

    async def discard(self) -> None:
        """End and remove everything of it."""
        await self._site.clear_away()
        await self._site.remove_directory(self._file.parent)
