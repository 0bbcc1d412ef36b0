"""The exact tracker reads only what was written, and both memories end equal all the same.

With a log that is a model, whatever is written and whenever; and with the kernel's log of a real
process that writes as fast as it can while it is copied.
"""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmigd.chunk import CHUNK_BYTES, MIB, PAGE_BYTES
from bmigd.drivers.base import DirtyLog, Memory
from bmigd.drivers.bhyve.memory import snapshot_memory
from bmigd.transfer.pagemap import PagemapTracker
from bmigd.transfer.pages import page_hashes
from bmigd.transfer.receiver import Receiver
from bmigd.transfer.verification import differing_pages
from tests.daemons import eventually
from tests.drivers.dirtylog.hypervisor import Hypervisor, hypervisor, require_kernel
from tests.transfer.memories import FreshMemory, HashedHere, LiveMemory, layout, table_of
from tests.transfer.test_tracker import SIZES, WRITES, chunks_of


class ModelLog:
    """What a log must be: the pages that differ from those at the last take, or were written."""

    def __init__(self, memory: LiveMemory) -> None:
        self._memory = memory
        self.written: list[set[int]] = [set() for _ in memory.regions]

    async def open(self) -> None:
        pass

    def write(self, region: int, page: int, content: bytes) -> None:
        """The guest writes a page."""
        at = page * PAGE_BYTES
        self._memory.contents[region][at : at + PAGE_BYTES] = content
        self.written[region].add(page)

    def take(self, region: int) -> list[tuple[int, int]]:
        taken, self.written[region] = sorted(self.written[region]), set()
        return [(page * PAGE_BYTES, PAGE_BYTES) for page in taken]

    async def close(self) -> None:
        pass


class Copy:
    """Guest memory's copy on the other node, and the tracker that keeps it up to date."""

    def __init__(self, memory: Memory, log: DirtyLog) -> None:
        self.memory = memory
        self.there = FreshMemory(memory.regions)
        self.sent, self.written = table_of(memory.regions), table_of(memory.regions)
        self.live = HashedHere(self.sent.seed)
        self.tracker = PagemapTracker(self.sent, log, self.live)
        self._receiver = Receiver(self.there, self.written)

    def keep(self, region: int, page: int, content: bytes) -> None:
        """The other node has this of the guest from before."""
        self.there.contents[region][page * PAGE_BYTES : (page + 1) * PAGE_BYTES] = content
        for table in (self.sent, self.written):
            table.regions[region][page] = page_hashes(content, table.seed)[0]

    def run_pass(self) -> int:
        """One pass; guest bytes sent."""
        sent_bytes = 0
        for batch in self.tracker.scan(self.memory):
            assert len(batch.payload) <= CHUNK_BYTES
            for chunk in chunks_of(batch, self.sent):
                self._receiver.apply(chunk)
                sent_bytes += chunk.memory_bytes
        return sent_bytes

    def wrong_pages(self) -> list[tuple[int, int]]:
        """Region and number of each page that is not what it should be."""
        return [
            (region, at // PAGE_BYTES)
            for region, there in enumerate(self.there.contents)
            for at in range(0, len(there), PAGE_BYTES)
            if there[at : at + PAGE_BYTES] != self.memory.view(region)[at : at + PAGE_BYTES]
        ]

    def assert_equal(self) -> None:
        """Contents and roots."""
        assert self.wrong_pages() == []
        assert self.sent.root() == self.written.root()
        assert sum(differing_pages(self.memory, self.sent)) == 0


@settings(deadline=None)
@given(st.lists(WRITES, min_size=1, max_size=4), WRITES, st.booleans())
def test_memories_are_equal_after_any_writes_between_passes(
    passes: list[list[tuple[int, int, int, int]]],
    kept: list[tuple[int, int, int, int]],
    sparse: bool,
) -> None:
    memory = LiveMemory(layout(SIZES), sparse=sparse)
    log = ModelLog(memory)
    copy = Copy(memory, log)
    for region, page, value, count in kept:
        for number in range(page, page + count):
            copy.keep(region, number % SIZES[region], bytes([value]) * PAGE_BYTES)
    for writes in passes:
        for region, page, value, count in writes:
            for number in range(page, page + count):
                log.write(region, number % SIZES[region], bytes([value]) * PAGE_BYTES)
        copy.run_pass()
        copy.assert_equal()


@settings(deadline=None)
@given(st.sets(st.integers(0, 599)), st.randoms(use_true_random=False))
def test_scattered_pages_travel_together_and_only_if_they_changed(
    pages: set[int], chance: random.Random
) -> None:
    memory = LiveMemory(layout([600]))
    log = ModelLog(memory)
    copy = Copy(memory, log)
    assert copy.run_pass() == 0
    changed = {page for page in pages if chance.random() < 0.5}
    for page in pages:
        log.write(0, page, (b"x" if page in changed else b"\0") * PAGE_BYTES)
    batches = list(copy.tracker.scan(memory))
    assert len(batches) <= 1 + -(-len(pages) * PAGE_BYTES // CHUNK_BYTES)
    assert sum(batch.scanned_bytes for batch in batches) == 600 * PAGE_BYTES
    assert [page for batch in batches for page in batch.pages.tolist()] == sorted(changed)


def test_what_was_there_before_the_log_is_in_the_first_pass() -> None:
    memory = LiveMemory(layout([64]), sparse=True)
    memory.contents[0][7 * PAGE_BYTES : 9 * PAGE_BYTES] = b"x" * 2 * PAGE_BYTES
    copy = Copy(memory, ModelLog(memory))
    assert copy.run_pass() == 2 * PAGE_BYTES
    copy.assert_equal()


def test_only_the_first_pass_compares_memory_with_what_is_there() -> None:
    memory = LiveMemory(layout([64]), sparse=True)
    memory.contents[0][:] = b"x" * 64 * PAGE_BYTES
    copy = Copy(memory, ModelLog(memory))
    for page in range(60):
        copy.keep(0, page, b"x" * PAGE_BYTES)
    assert copy.run_pass() == 4 * PAGE_BYTES
    assert copy.live.is_closed
    assert copy.run_pass() == 0
    copy.assert_equal()


class Untouchable(LiveMemory):
    """Memory of which only some pages may be read from now on."""

    allowed: set[int] | None = None

    def view(self, region: int) -> memoryview:
        content = bytearray(self.contents[region])
        for page in set(range(len(content) // PAGE_BYTES)) - (self.allowed or set()):
            content[page * PAGE_BYTES] ^= 255  # whoever reads it sends it, and it is wrong
        return memoryview(content)


def test_a_page_that_was_not_written_is_not_even_read() -> None:
    memory = Untouchable(layout([64]))
    log = ModelLog(memory)
    memory.allowed = set(range(64))
    copy = Copy(memory, log)
    copy.run_pass()
    log.write(0, 9, b"x" * PAGE_BYTES)
    memory.allowed = {9}
    assert copy.run_pass() == PAGE_BYTES
    memory.allowed = set(range(64))
    copy.assert_equal()


class WritesWhileCopied(ModelLog):
    """A guest that writes a page again just after it was taken, before it can be copied."""

    content = b"later" + bytes(PAGE_BYTES - 5)

    def take(self, region: int) -> list[tuple[int, int]]:
        taken = super().take(region)
        for offset, _ in taken:
            self.write(region, offset // PAGE_BYTES, self.content)
        return taken


def test_a_page_that_is_written_while_it_is_copied_comes_in_the_next_pass() -> None:
    memory = LiveMemory(layout([8]))
    log = WritesWhileCopied(memory)
    copy = Copy(memory, log)
    copy.run_pass()
    log.write(0, 3, b"x" * PAGE_BYTES)
    copy.run_pass()
    assert log.written[0] == {3}
    memory.contents[0][3 * PAGE_BYTES] = 77  # as part of the same write, before the next take
    copy.run_pass()
    assert copy.wrong_pages() == []


def mapped(started: Hypervisor) -> Memory:
    """Its memory, as a driver shows it."""
    return snapshot_memory(started.ram_file, started.regions)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
async def test_nothing_is_lost_of_a_process_that_writes_while_it_is_copied(
    tmp_path: Path, seed: int
) -> None:
    with hypervisor(tmp_path, [3 * MIB // PAGE_BYTES, 5 * MIB // PAGE_BYTES]) as started:
        await require_kernel(started.log())
        memory, log = mapped(started), started.log()
        started.do(f"storm {seed}")
        await log.open()
        copy = Copy(memory, log)
        copy.run_pass()
        for _ in range(10):
            eventually(copy.run_pass, what="a write meanwhile")
        started.do("calm")
        copy.run_pass()
        copy.assert_equal()
        assert copy.run_pass() == 0
        await log.close()
        memory.close()


@pytest.mark.slow
async def test_writes_through_another_mapping_are_not_seen_and_verifying_finds_them(
    tmp_path: Path,
) -> None:
    """The blind spot. Who maps memory before the log is opened is refused; this one came later."""
    with hypervisor(tmp_path, [256]) as started:
        await require_kernel(started.log())
        started.do("write 0 1 256")
        memory, log = mapped(started), started.log()
        await log.open()
        copy = Copy(memory, log)
        copy.run_pass()
        with started.ram_file.open("r+b") as other:
            other.seek(7 * PAGE_BYTES)
            other.write(b"unseen")
        assert copy.run_pass() == 0
        assert copy.wrong_pages() == [(0, 7)]
        assert sum(differing_pages(memory, copy.sent)) == 1
        await log.close()
        memory.close()
