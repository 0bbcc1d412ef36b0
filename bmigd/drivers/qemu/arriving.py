"""Giving a QEMU that waits for device state what is in a file."""

import asyncio
from pathlib import Path

from bmigd.drivers.qemu import saving, vmstate
from bmigd.drivers.qemu.monitor import MonitorLost, session
from bmigd.drivers.qemu.site import Site, last_words
from bmigd.errors import BadBytes, LocalFault

WAITS = "inmigrate"  # QEMU's word for a guest whose device state is missing


async def load_file(site: Site, file: Path) -> None:
    """Load it, unless that was done: BadBytes (STATE_INVALID) if QEMU cannot use it.

    Disks stay closed to the guest until it is set off: whoever has it now may still take it back.
    Not so a guest that is held: nothing sets it off, so its disks become its own here.
    """
    head = vmstate.read_head(file)
    try:
        async with asyncio.timeout(site.config.start_timeout_s), session(site.monitor) as monitor:
            if await monitor.run_state() != WAITS:
                return
            await monitor.set_capabilities(
                x_ignore_shared=True, late_block_activate=not head.is_paused
            )
            await saving.load(
                monitor, (await asyncio.to_thread(file.read_bytes))[vmstate.HEAD.size :]
            )
    except MonitorLost as error:
        words = last_words(await site.ending())
        raise BadBytes("STATE_INVALID", f"QEMU cannot use the device state: {words}") from error
    except TimeoutError as error:
        raise LocalFault("HYPERVISOR_LOST", "QEMU did not load the device state in time") from error
