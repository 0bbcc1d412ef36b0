"""The log has exactly the pages that a hypervisor wrote, tells one that died from one that wrote
nothing, and leaves a process behind that is as it was.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from bmigd.chunk import PAGE_BYTES
from bmigd.drivers.dirtylog.log import PreloadedLog
from bmigd.errors import LocalFault
from tests.daemons import eventually
from tests.drivers.dirtylog.conftest import PAGES
from tests.drivers.dirtylog.hypervisor import Hypervisor, hypervisor, require_kernel


@pytest.fixture
async def log(started: Hypervisor) -> AsyncIterator[PreloadedLog]:
    """A log of it, open, nothing in it."""
    log = started.log()
    await log.open()
    for region in range(len(PAGES)):
        log.take(region)
    yield log
    await log.close()


def pages(log: PreloadedLog, region: int = 0) -> list[int]:
    """The numbers of the pages taken."""
    return [
        page
        for offset, length in log.take(region)
        for page in range(offset // PAGE_BYTES, (offset + length) // PAGE_BYTES)
    ]


async def test_what_was_written_is_taken_once(started: Hypervisor, log: PreloadedLog) -> None:
    assert pages(log) == []
    started.do("write 3 7")
    started.do("write 9 7 2")
    assert log.take(0) == [(3 * PAGE_BYTES, PAGE_BYTES), (9 * PAGE_BYTES, 2 * PAGE_BYTES)]
    assert pages(log) == []
    started.do("write 3 8")
    assert pages(log) == [3]


async def test_nothing_written_after_opening_is_missing_from_the_first_take(
    started: Hypervisor,
) -> None:
    log = started.log()
    await log.open()
    started.do("write 5 9")
    assert 5 in pages(log)
    await log.close()


async def test_what_the_kernel_writes_for_it_is_seen(
    started: Hypervisor, log: PreloadedLog
) -> None:
    started.do("receive 11")
    assert pages(log) == [11]


async def test_reading_is_not_writing(started: Hypervisor, log: PreloadedLog) -> None:
    started.do("read 4")
    assert pages(log) == []


async def test_regions_follow_one_another_in_the_file(
    started: Hypervisor, log: PreloadedLog
) -> None:
    started.do(f"write {PAGES[0] - 1} 7 2")  # over the border
    assert (pages(log, 0), pages(log, 1)) == ([PAGES[0] - 1], [0])


async def test_stretches_ascend_though_pages_are_written_while_they_are_looked_for(
    tmp_path: Path,
) -> None:
    with hypervisor(tmp_path, [1 << 14]) as large:
        await require_kernel(large.log())
        log = large.log()
        await log.open()
        log.take(0)
        large.do("storm 1")
        for number in range(50):
            large.do(f"scatter {number}")
            found = log.take(0)
            assert len(found) > 1000  # more than the kernel collects at once
            assert all(a[0] + a[1] <= b[0] for a, b in pairwise(found))
        large.do("calm")
        await log.close()


async def test_a_page_that_was_never_touched_is_seen_when_it_is(tmp_path: Path) -> None:
    with hypervisor(tmp_path, [1024]) as sparse:
        await require_kernel(sparse.log())
        log = sparse.log()
        await log.open()
        log.take(0)
        sparse.do("write 700 1")
        assert 700 in pages(log)
        assert pages(log) == []
        await log.close()


async def test_a_closed_log_leaves_nothing(started: Hypervisor) -> None:
    log = started.log()
    await log.open()
    log.take(0)
    assert started.is_watched()
    await log.close()
    await log.close()
    assert not started.is_watched()
    started.do("write 0 5 8")
    assert started.process.poll() is None
    await log.open()  # and it can be done again
    assert 0 in pages(log)
    await log.close()


async def test_a_daemon_that_dies_leaves_nothing(started: Hypervisor) -> None:
    program = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
        "s.sendall(sys.argv[2].encode() + b'\\n'); print(s.recv(200).decode(), flush=True)\n"
        "sys.stdin.read()\n"
    )
    daemon = subprocess.Popen(
        [sys.executable, "-c", program, str(started.socket_path), str(started.ram_file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert daemon.stdout
    assert daemon.stdout.readline().startswith(b"ok ")
    assert started.is_watched()
    daemon.send_signal(signal.SIGKILL)
    daemon.communicate()
    eventually(lambda: not started.is_watched(), what="the end of the watch")
    started.do("write 0 5 8")


async def test_nonsense_does_not_hurt_the_hypervisor(started: Hypervisor) -> None:
    for nonsense in (b"", b"\n", b"no newline", b"/" * 5000 + b"\n", b"\0\xff\n", b"/nowhere\n"):
        with socket.socket(socket.AF_UNIX) as asker:
            asker.connect(os.fspath(started.socket_path))
            asker.sendall(nonsense)
    started.do("write 1 1")
    log = started.log()
    await log.open()
    await log.close()


async def test_what_a_hypervisor_starts_does_not_take_its_place(started: Hypervisor) -> None:
    started.do("start_another")
    log = started.log()
    await log.open()
    started.do("start_another")  # nor while it is being asked
    started.do("write 5 9")
    assert 5 in pages(log)
    await log.close()


async def test_a_program_around_the_hypervisor_does_not_keep_its_place(
    started: Hypervisor,
) -> None:
    started.do(f"become_another {started.ram_file}", answer="ready")
    log = started.log()
    await log.open()
    await log.close()


async def test_the_socket_is_private(started: Hypervisor) -> None:
    assert started.socket_path.stat().st_mode & 0o777 == 0o600


async def test_a_hypervisor_that_died_is_told_as_lost_and_not_as_one_that_wrote_nothing(
    started: Hypervisor, log: PreloadedLog
) -> None:
    started.do("write 3 7")
    started.end()
    with pytest.raises(LocalFault) as fault:
        log.take(0)
    assert fault.value.reason == "TRACKER_LOST"
    await log.close()


async def test_memory_given_back_to_the_host_is_not_seen(
    started: Hypervisor, log: PreloadedLog
) -> None:
    """Why a driver must refuse: the page is zero now and counts as unwritten."""
    started.do("discard 6")
    assert pages(log) == []
    assert started.ram_file.read_bytes()[6 * PAGE_BYTES : 7 * PAGE_BYTES] == bytes(PAGE_BYTES)
