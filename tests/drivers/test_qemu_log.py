"""The log of what a real QEMU writes has every page that changed, device state and all; a guest
whose disk goes around the page cache has none.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from bmigd.chunk import PAGE_BYTES
from bmigd.errors import LocalFault
from tests import qemu
from tests.drivers.dirtylog.hypervisor import require_kernel
from tests.drivers.qemu_bed import PROGRAM, QemuBed

pytestmark = [pytest.mark.slow, qemu.needed]


@pytest.fixture
def bed() -> Iterator[QemuBed]:
    """QEMUs whose guest has no disk."""
    bed = QemuBed(replace(PROGRAM, has_disk=False), devices=[])
    try:
        yield bed
    finally:
        bed.close()


def changed_pages(before: bytes, after: memoryview) -> set[int]:
    """The numbers of the pages that differ."""
    starts = range(0, len(before), PAGE_BYTES)
    return {
        at // PAGE_BYTES
        for at in starts
        if before[at : at + PAGE_BYTES] != after[at : at + PAGE_BYTES]
    }


def pages_of(stretches: list[tuple[int, int]]) -> set[int]:
    """The numbers of the pages in them."""
    return {
        page
        for offset, length in stretches
        for page in range(offset // PAGE_BYTES, (offset + length) // PAGE_BYTES)
    }


async def test_the_log_has_every_page_that_changed_since_it_was_taken(bed: QemuBed) -> None:
    node = bed.node("a")
    await node.start()
    guest = node.driver.outgoing(bed.definition)
    log = guest.dirty_log()
    assert log
    await require_kernel(log)
    await log.open()
    live = await guest.open()
    log.take(0)
    before = bytes(live.view(0))
    await node.beats_on()
    down = await guest.suspend()
    changed = changed_pages(before, down.memory.view(0))
    assert len(changed) > 10
    assert changed <= pages_of(log.take(0))
    assert log.take(0) == []  # a suspended guest writes nothing more
    await log.close()
    live.close()
    down.memory.close()
    await guest.resume()
    await node.beats_on()
    log = node.driver.outgoing(bed.definition).dirty_log()
    assert log
    await log.open()  # and again
    await log.close()


DISK = {"slot": "4", "emulation": "virtio-blk", "storage": "shared", "image": "web1.raw"}
BALLOON = {"slot": "5", "emulation": "virtio-balloon"}


async def test_a_guest_with_a_disk_has_a_log() -> None:
    bed = QemuBed(PROGRAM, devices=[DISK])
    try:
        node = bed.node("a")
        await node.driver.start(bed.definition)
        log = node.driver.outgoing(bed.definition).dirty_log()
        assert log
        await log.open()
        await log.close()
    finally:
        bed.close()


async def test_a_guest_with_a_device_that_is_not_seen_has_no_log() -> None:
    bed = QemuBed(PROGRAM, devices=[BALLOON])
    try:
        node = bed.node("a")
        await node.driver.start(bed.definition)
        log = node.driver.outgoing(bed.definition).dirty_log()
        assert log
        with pytest.raises(LocalFault, match="its balloon") as fault:
            await log.open()
        assert fault.value.reason == "TRACKER_NOT_AVAILABLE"
    finally:
        bed.close()
