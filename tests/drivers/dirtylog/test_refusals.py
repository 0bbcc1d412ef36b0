"""A log that could not see every write is refused, and why is said in words; the hypervisor is left
as it was.
"""

import asyncio
import errno
import mmap
import os
from pathlib import Path

import pytest

from bmigd.chunk import PAGE_BYTES
from bmigd.drivers.dirtylog.log import TOO_OLD, PreloadedLog, refusal, understood
from bmigd.drivers.dirtylog.unseen import unseen_writer
from bmigd.errors import LocalFault
from tests import needs
from tests.drivers.dirtylog.hypervisor import Hypervisor


async def refused(log: PreloadedLog) -> str:
    """Why it could not be opened."""
    with pytest.raises(LocalFault) as fault:
        await log.open()
    assert fault.value.reason == "TRACKER_NOT_AVAILABLE"
    assert fault.value.advice
    return fault.value.message


async def test_what_the_driver_knows_to_be_unseen_is_refused(started: Hypervisor) -> None:
    assert "its balloon" in await refused(started.log("its balloon gives memory back"))
    assert not started.is_watched()


async def test_direct_io_is_refused(started: Hypervisor, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(PAGE_BYTES))
    try:
        os.close(os.open(disk, os.O_RDWR | os.O_DIRECT))
    except OSError as error:
        needs.missing(f"no direct I/O on {tmp_path}: {error}")
    started.do(f"directly {disk}")
    assert "direct I/O" in await refused(started.log())
    assert not started.is_watched()


async def test_another_process_that_may_write_is_refused(started: Hypervisor) -> None:
    descriptor = os.open(started.ram_file, os.O_RDWR)
    with mmap.mmap(descriptor, 0):
        assert f"process {os.getpid()}" in await refused(started.log())
    with mmap.mmap(descriptor, 0, prot=mmap.PROT_READ):  # as the daemon itself does
        log = started.log()
        await log.open()
        await log.close()
    os.close(descriptor)


async def test_memory_mapped_twice_is_refused(started: Hypervisor) -> None:
    started.do("map_again")
    assert "more than one place" in await refused(started.log())


async def test_memory_that_is_not_mapped_is_refused(started: Hypervisor, tmp_path: Path) -> None:
    other = PreloadedLog(started.socket_path, tmp_path / "other", started.regions, "")
    assert "does not have it mapped" in await refused(other)
    larger = PreloadedLog(started.socket_path, started.ram_file, started.regions * 2, "")
    assert "not mapped" in await refused(larger)


async def test_a_hypervisor_without_the_object_is_refused(tmp_path: Path) -> None:
    log = PreloadedLog(tmp_path / "nobody", tmp_path / "ram", (), "")
    assert "without the preloaded object" in await refused(log)


async def test_an_object_that_does_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_unix_server(say_nothing, tmp_path / "mute"):
        log = PreloadedLog(tmp_path / "mute", tmp_path / "ram", (), "")
        assert "did not answer" in await refused(log)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (f"no features {errno.EINVAL}\n", TOO_OLD),
        (f"no userfaultfd {errno.ENOSYS}\n", TOO_OLD),
        (f"no userfaultfd {errno.EPERM}\n", "userfaultfd: Operation not permitted"),
        (f"no mapping {errno.ENOENT}\n", "does not have it mapped"),
        (f"no mapping {errno.EEXIST}\n", "more than one place"),
        (f"no register {errno.EBUSY}\n", "uses userfaultfd"),
        (f"no register {errno.ENOMEM}\n", "register: Cannot allocate memory"),
        ("", "gave no answer"),
        ("ok 1 2\n", "gave no answer"),
        ("no idea why\n", "gave no answer"),
    ],
)
def test_why_a_kernel_or_hypervisor_cannot_do_it_is_said_in_words(answer: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        understood(answer, 7)


def test_an_old_kernel_is_told_what_it_lacks() -> None:
    assert "6.7" in refusal("features", errno.EINVAL)


def test_a_device_that_writes_memory_by_itself_is_found(tmp_path: Path) -> None:
    process = tmp_path / "7"
    for name in ("fd", "fdinfo"):
        (process / name).mkdir(parents=True)
    (process / "fd" / "3").symlink_to("/dev/kvm")
    assert unseen_writer(7, 0x1000, tmp_path) == ""
    (process / "fd" / "4").symlink_to("/dev/vfio/12")
    assert "/dev/vfio/12" in unseen_writer(7, 0x1000, tmp_path)
