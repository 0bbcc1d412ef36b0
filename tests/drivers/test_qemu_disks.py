"""Disks of QEMU guests: locked against a second user at any moment, given over whole, and never a
way to files that are not the guest's.
"""

import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bmigd.errors import LocalFault, StartFailed
from tests import qemu
from tests.drivers.bed import nothing_left, received
from tests.drivers.qemu_bed import DISK, QemuBed, move

SHARED_WRITE = 201  # the byte that QEMU locks to say that nobody else may write
SET_LOCK = 37  # F_OFD_SETLK, which Python has no name for


pytestmark = [pytest.mark.slow, qemu.needed]


@pytest.fixture(name="bed")
def make_bed() -> Iterator[QemuBed]:
    """Nodes with QEMU."""
    bed = QemuBed()
    try:
        yield bed
    finally:
        bed.close()


def image_tool(*arguments: str | Path) -> None:
    """Run qemu-img."""
    subprocess.run([qemu.image_tool(), *arguments], check=True)


@contextmanager
def locked(image: Path) -> Iterator[None]:
    """Somebody else uses the image and lets nobody write it."""
    lock = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, SHARED_WRITE, 1, 0)
    with image.open("rb") as file:
        fcntl.fcntl(file, SET_LOCK, lock)
        yield


async def test_a_disk_that_somebody_else_holds_keeps_the_guest_from_running_and_is_proof(
    bed: QemuBed,
) -> None:
    node, other = bed.node("a"), bed.node("b")
    async with received(node, other) as (guest, _):
        await guest.check()
        with locked(bed.image()), pytest.raises(StartFailed, match="lock") as failed:
            await guest.start()
        assert failed.value.never_ran
        witness = await guest.witness()
        assert (witness.executed, witness.runs) == (False, False)
    leaving = node.driver.outgoing(bed.definition)
    with locked(bed.image()), pytest.raises(StartFailed, match="lock"):
        await leaving.resume()
    await leaving.resume()
    await node.beats_on()


async def test_the_source_cannot_go_on_while_the_guest_runs_elsewhere(bed: QemuBed) -> None:
    node, other = bed.node("a"), bed.node("b")
    async with received(node, other) as (guest, _):
        await guest.start()
        with pytest.raises(StartFailed, match="lock"):
            await node.driver.outgoing(bed.definition).resume()
        await other.beats_on(await node.beats())


async def test_the_source_can_go_on_while_the_destination_has_loaded_the_state(
    bed: QemuBed,
) -> None:
    node, other = bed.node("a"), bed.node("b")
    async with received(node, other) as (guest, _):
        await guest.check()
        await node.driver.outgoing(bed.definition).resume()
        await node.beats_on()


async def test_a_qcow2_image_carries_what_was_written(bed: QemuBed) -> None:
    path = bed.storage / "web1.qcow2"
    image_tool("create", "-q", "-f", "qcow2", path, "4M")
    disk = {**DISK, "image": "web1.qcow2", "options": ["format=qcow2"]}
    moved = QemuBed(devices=[disk])
    try:
        path.rename(moved.storage / path.name)
        node, other = moved.node("a"), moved.node("b")
        await node.start()
        await move(node, other)
        await other.beats_on([], operations=moved.sweep)
        await other.driver.stop(moved.definition, force=False, timeout_s=20)
        image_tool("check", "-q", moved.storage / path.name)  # no cluster is lost
    finally:
        moved.close()


async def test_an_image_with_a_backing_file_is_refused_and_leaves_nothing(bed: QemuBed) -> None:
    path = bed.storage / "web1.qcow2"
    backing = ["-b", "web1.raw", "-F", "raw"]
    image_tool("create", "-q", "-f", "qcow2", *backing, path)
    disk = {**DISK, "image": path.name, "options": ["format=qcow2"]}
    bed.definition = QemuBed(devices=[disk]).definition
    node = bed.node("a")
    with pytest.raises(LocalFault, match="backing file") as refused:
        await node.driver.start(bed.definition)
    assert refused.value.reason == "IMAGE_REFUSED"
    guest = node.driver.incoming(bed.definition)
    with pytest.raises(LocalFault, match="backing file"):
        await guest.prepare()
    await guest.discard()
    await node.driver.stop(bed.definition, force=True, timeout_s=0)
    await nothing_left(node)
