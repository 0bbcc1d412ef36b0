"""A QEMU guest that may come: a QEMU that waits, on a file that fills up with its memory.

QEMU is started before the guest goes down elsewhere, and device state is loaded when it is checked:
that is all of a restore but running it. The supervisor's mark, set before `cont`, is the evidence.
"""

import asyncio
import hashlib
import os
from pathlib import Path

from bmigd.drivers.base import IncomingMemory, Witness
from bmigd.drivers.memory import SpoolMemory
from bmigd.drivers.qemu import vmstate
from bmigd.drivers.qemu.arriving import WAITS, load_file
from bmigd.drivers.qemu.command import receiving
from bmigd.drivers.qemu.monitor import look
from bmigd.drivers.qemu.site import Site, last_words
from bmigd.errors import BadBytes, BmigError, LocalFault, StartFailed, Taken

LOOK_S = 5.0


class QemuIncoming:
    """One guest on its way in."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._file = site.directory / vmstate.NAME
        self._argv: list[str] = []
        self._loaded = ""  # SHA-256 of what QEMU was given by us
        self._is_settled = False  # whether start() did what is to be done

    async def prepare(self, image: Path | None = None) -> IncomingMemory:
        """Memory, or the image; and taps."""
        site = self._site
        status = await site.supervision.status()
        if status and status.is_alive and status.was_ready:
            raise Taken("NAME_TAKEN", f"a guest {site.name} runs on this host")
        if site.monitor.exists() and await look(site.monitor, LOOK_S) != WAITS:
            await site.require_watched()
        await self.discard()
        await site.make_memory(image)
        if not site.is_in_memory:
            await site.reserve_memory()
        self._argv = receiving(await site.argv())
        return await asyncio.to_thread(SpoolMemory, site.memory_file, site.regions)

    async def stand_by(self) -> None:
        """All memory is reserved, and a QEMU waits for device state."""
        if self._site.is_in_memory:  # takes long there, and only there others may write meanwhile
            await self._site.reserve_memory()
        await self._site.supervision.ensure()
        await self._site.launch(self._argv)

    def state_path(self, name: str) -> Path:
        """The one file of device state."""
        if name != vmstate.NAME:
            raise BadBytes("STATE_INVALID", f"{name!r} is not a file of QEMU's device state")
        return self._file

    async def check(self) -> None:
        """QEMU is there and takes the device state, and every image can be opened."""
        site = self._site
        await self._require_qemu()
        for storage, image in site.definition.disks:
            if not os.access(path := site.storage[storage] / image, os.R_OK):
                raise LocalFault("FILE_MISSING", f"{path} cannot be read")
        head, digest = await asyncio.to_thread(self._read)
        if self._loaded not in ("", digest):
            raise BadBytes("STATE_INVALID", "the device state is not what QEMU was given")
        if not head.is_paused and not self._loaded:
            await load_file(site, self._file)
            self._loaded = digest

    async def start(self) -> None:
        """Set the guest off; or keep it held, if that is how it came."""
        site = self._site
        try:
            head, _ = await asyncio.to_thread(self._read)
            if head.is_paused:
                await site.supervision.mark_running()  # its disks become its own with the state
            if not self._loaded:
                await load_file(site, self._file)
        except BmigError as error:
            status = await site.ending()
            raise StartFailed(
                *("START_FAILED", f"{error.message}; {last_words(status)}"),
                guest=site.name,
                never_ran=not status.was_ready,
            ) from error
        if not head.is_paused:
            await site.set_off()
        self._is_settled = True

    async def witness(self) -> Witness:
        """What the supervisor saw."""
        status = await self._site.supervision.status()
        if status is None:
            return Witness(supervisor=False)
        runs = status.is_alive and (status.was_ready or await self._is_set_off())
        return Witness(
            supervisor=True,
            executed=status.was_ready or runs or status.state == "exited",
            runs=runs,
            never_ran=status.state == "exited" and not status.was_ready,
        )

    async def accept(self) -> None:
        """Drop the device state; a guest whose `cont` was lost with a daemon is set off now."""
        if not self._is_settled:
            await self._settle()
        await asyncio.to_thread(self._file.unlink, missing_ok=True)

    async def _settle(self) -> None:
        status = await self._site.supervision.status()
        if status and status.is_alive and vmstate.is_whole(self._file):
            head = vmstate.read_head(self._file)
            if not head.is_paused and not await self._is_set_off():
                await self._site.set_off()

    async def discard(self) -> None:
        """End and remove everything of it."""
        await self._site.clear_away()

    def _read(self) -> tuple[vmstate.Head, str]:
        """The head of the state file, and a digest of all; BadBytes (STATE_INVALID)."""
        try:
            head = vmstate.read_head(self._file)
        except vmstate.Flawed as error:
            raise BadBytes("STATE_INVALID", f"the device state {error}") from error
        if head.stream_bytes > vmstate.most_bytes(self._site.definition.memory_bytes):
            raise BadBytes("STATE_INVALID", "the device state is too long to be only that")
        return head, hashlib.sha256(self._file.read_bytes()).hexdigest()

    async def _require_qemu(self) -> None:
        status, name = await self._site.supervision.status(), self._site.name
        if status is None:
            raise LocalFault("SUPERVISOR_LOST", f"the process that is to own guest {name} is gone")
        if not status.is_alive:
            raise LocalFault(
                "HYPERVISOR_LOST",
                f"the QEMU that waited for guest {name} is gone: " + last_words(status),
            )

    async def _is_set_off(self) -> bool:
        """Whether QEMU says that it runs the guest, or did: false only if it surely did not."""
        return await look(self._site.monitor, LOOK_S) not in ("", WAITS, "paused", "prelaunch")
