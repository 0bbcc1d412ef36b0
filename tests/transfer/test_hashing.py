"""Hashes of live memory are those of its pages, whoever makes them; and processes that make them
end with whoever wanted them, and say so if they end before.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from bmigd.chunk import PAGE_BYTES, Extent
from bmigd.drivers.bhyve.memory import snapshot_memory
from bmigd.drivers.memory import MappedMemory
from bmigd.errors import LocalFault
from bmigd.transfer import hashing
from bmigd.transfer.hashing import MOST, PIECE_BYTES, Hashers, LiveHashes
from bmigd.transfer.pages import page_hashes
from tests.daemons import eventually
from tests.transfer.memories import SEED, HashedHere, layout

PAGES = [5, 3 * PIECE_BYTES // PAGE_BYTES]
MAKERS: list[Callable[[int], LiveHashes]] = [HashedHere, Hashers]
STRETCHES = st.lists(
    st.tuples(st.integers(0, PAGES[1] - 1), st.integers(1, 2000)), min_size=1, max_size=9
)


@pytest.fixture(name="file", scope="module")
def make_file() -> Iterator[Path]:
    """A snapshot with another content in each page."""
    with TemporaryDirectory(dir="/dev/shm") as directory:
        path = Path(directory) / "ram"
        path.write_bytes(
            b"".join(number.to_bytes(8, "little") * 512 for number in range(sum(PAGES)))
        )
        yield path


@pytest.fixture(name="own")
def make_own() -> Iterator[Path]:
    """A file that nobody else has mapped."""
    with TemporaryDirectory(dir="/dev/shm") as directory:
        path = Path(directory) / "ram"
        path.write_bytes(bytes(sum(PAGES) * PAGE_BYTES))
        yield path


@contextlib.contextmanager
def shown(file: Path) -> Iterator[MappedMemory]:
    memory = snapshot_memory(file, layout(PAGES))
    try:
        yield memory
    finally:
        memory.close()


@pytest.fixture(name="live", scope="module", params=MAKERS, ids=["here", "processes"])
def make_live(request: pytest.FixtureRequest) -> Iterator[LiveHashes]:
    live: LiveHashes = request.param(SEED)
    yield live
    live.close()


def wanted(memory: MappedMemory, region: int, stretches: list[Extent]) -> list[int]:
    """The hash of each page of the stretches."""
    view = memory.view(region)
    return [
        int(one)
        for offset, length in stretches
        for one in page_hashes(view[offset : offset + length], SEED)
    ]


def told(live: LiveHashes, memory: MappedMemory, region: int, stretches: list[Extent]) -> list[int]:
    return [int(one) for _, hashes in live.hashes(memory, region, stretches) for one in hashes]


@given(stretches=STRETCHES)
def test_each_page_has_its_hash_in_the_order_that_was_asked_for(
    live: LiveHashes, file: Path, stretches: list[tuple[int, int]]
) -> None:
    pages = [
        Extent(first * PAGE_BYTES, (min(first + count, PAGES[1]) - first) * PAGE_BYTES)
        for first, count in stretches
    ]
    with shown(file) as memory:
        assert told(live, memory, 1, pages) == wanted(memory, 1, pages)


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(1, 80)), min_size=1, max_size=5))
def test_each_larger_unit_has_its_hash_too(
    live: LiveHashes, file: Path, stretches: list[tuple[int, int]]
) -> None:
    unit_bytes = 8 * PAGE_BYTES
    units = [Extent(first * unit_bytes, count * unit_bytes) for first, count in stretches]
    with shown(file) as memory:
        view = memory.view(1)
        found = [int(o) for _, some in live.hashes(memory, 1, units, unit_bytes) for o in some]
        assert found == [
            xxhash.xxh3_64_intdigest(view[at : at + unit_bytes], SEED)
            for offset, length in units
            for at in range(offset, offset + length, unit_bytes)
        ]


def test_pieces_are_bounded_and_together_what_was_asked_for(live: LiveHashes, file: Path) -> None:
    whole = Extent(PAGE_BYTES, 2 * PIECE_BYTES + PAGE_BYTES)
    with shown(file) as memory:
        found = [piece for piece, _ in live.hashes(memory, 1, [whole])]
    assert [one.length_bytes for one in found] == [PIECE_BYTES, PIECE_BYTES, PAGE_BYTES]
    assert [one.offset_bytes - PAGE_BYTES for one in found] == [0, PIECE_BYTES, 2 * PIECE_BYTES]


def test_what_is_written_is_seen_at_the_next_look(live: LiveHashes, file: Path) -> None:
    page = [Extent(2 * PAGE_BYTES, PAGE_BYTES)]
    with shown(file) as memory, file.open("r+b") as guest:
        before = told(live, memory, 0, page)
        guest.seek(2 * PAGE_BYTES)
        guest.write(os.urandom(8))
        guest.flush()
        after = told(live, memory, 0, page)
        assert after == wanted(memory, 0, page) != before


def test_a_pass_that_is_given_up_leaves_nothing_for_the_next(live: LiveHashes, file: Path) -> None:
    with shown(file) as memory:
        given_up = live.hashes(memory, 1, [Extent(0, PAGES[1] * PAGE_BYTES)])
        next(given_up)
        given_up.close()
        last = [Extent((PAGES[1] - 1) * PAGE_BYTES, PAGE_BYTES)]
        assert told(live, memory, 1, last) == wanted(memory, 1, last)


def test_other_memory_is_looked_at_when_it_is_asked_for(live: LiveHashes, file: Path) -> None:
    other = file.with_name("other")
    other.write_bytes(b"o" * sum(PAGES) * PAGE_BYTES)
    page = [Extent(0, PAGE_BYTES)]
    with shown(file) as first, shown(other) as second:
        both = [told(live, first, 0, page), told(live, second, 0, page), told(live, first, 0, page)]
        assert both[0] == both[2] == wanted(first, 0, page)
        assert both[1] == wanted(second, 0, page)
    other.unlink()


def one_for_each() -> list[Extent]:
    """A piece for each process."""
    return [Extent(0, PAGE_BYTES)] * MOST


def begun(pid: int) -> tuple[int, int]:
    """When a process began, in ticks; and its pid, which tells those of one tick apart."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
    return int(after_name.split()[19]), pid


def mapped_by(file: Path) -> list[int]:
    """Processes that have a file mapped."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and str(file) in (entry / "maps").read_text():
                found.append(int(entry.name))
    return found


FIRST, LAST = 0, -1  # of the processes: the one that is started, and one that it became


@contextlib.contextmanager
def asked(own: Path, which: int = FIRST) -> Iterator[tuple[Hashers, MappedMemory, int]]:
    """Processes that have all been asked once, the memory, and the pid of one of them."""
    hashers = Hashers(SEED)
    try:
        with shown(own) as memory:
            told(hashers, memory, 0, one_for_each())
            ours = set(mapped_by(own)) - {os.getpid()}
            yield hashers, memory, sorted(ours, key=begun)[which]
    finally:
        hashers.close()


def test_once_closed_nobody_has_the_memory_and_no_process_is_left(own: Path) -> None:
    with asked(own) as (hashers, _, _):
        assert len(mapped_by(own)) == 1 + min(MOST, os.cpu_count() or 1)
        hashers.close()
        assert mapped_by(own) == [os.getpid()]


@pytest.mark.parametrize("which", [FIRST, LAST])
def test_a_process_that_ends_is_told(own: Path, which: int) -> None:
    with asked(own, which) as (hashers, memory, victim):
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: victim not in mapped_by(own), 10, "its end")
        with pytest.raises(LocalFault) as fault:
            told(hashers, memory, 0, one_for_each())
        assert fault.value.reason == "TRACKER_LOST"
        assert "memory ended: " in fault.value.message  # it shows: no other has its socket


@pytest.mark.parametrize("which", [FIRST, LAST])
def test_a_process_that_says_nothing_is_given_up_and_nothing_is_left(
    own: Path, monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    monkeypatch.setattr(hashing, "ANSWER_S", 0.2)
    with asked(own, which) as (hashers, memory, victim):
        os.kill(victim, signal.SIGSTOP)
        for _ in range(2):  # and it stays given up
            with pytest.raises(LocalFault) as fault:
                told(hashers, memory, 0, one_for_each())
            assert fault.value.reason == "TRACKER_LOST"
        assert mapped_by(own) == [os.getpid()]


def test_a_start_is_waited_for_before_anything_is_asked_and_not_after(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "ANSWER_S", 0.2)
    hashers = Hashers(SEED)
    hashers.start()
    hashers.ready()
    assert hashers._first
    os.killpg(hashers._first.pid, signal.SIGSTOP)
    began_s = time.monotonic()
    with shown(own) as memory, pytest.raises(LocalFault, match="did not answer") as fault:
        told(hashers, memory, 0, one_for_each())
    assert fault.value.reason == "TRACKER_LOST"
    assert time.monotonic() - began_s < hashing.START_S / 2


def test_one_that_does_not_start_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = tmp_path / "stuck"
    stuck.write_text("#!/bin/sh\nexec sleep 60\n")
    stuck.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(stuck))
    monkeypatch.setattr(hashing, "START_S", 0.2)
    hashers = Hashers(SEED)
    hashers.start()
    with pytest.raises(LocalFault, match="did not answer"):
        hashers.ready()
    assert hashers._first is None  # it is waited for, and gone


OWNER = """
import sys
from pathlib import Path
from bmigd.transfer.hashing import Hashers
from bmigd.drivers.bhyve.memory import snapshot_memory
from tests.transfer.memories import layout
from tests.transfer.test_hashing import PAGES, one_for_each
memory, hashers = snapshot_memory(Path(sys.argv[1]), layout(PAGES)), Hashers(1)
list(hashers.hashes(memory, 0, one_for_each()))
print("ready", flush=True)
sys.stdin.read()
"""


def test_processes_of_a_daemon_that_was_killed_end_too(own: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, own], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout
        assert owner.stdout.readline() == b"ready\n"
        assert len(mapped_by(own)) == 1 + min(MOST, os.cpu_count() or 1)
        owner.kill()
    eventually(lambda: mapped_by(own) == [], 10, "the end of what it had started")
