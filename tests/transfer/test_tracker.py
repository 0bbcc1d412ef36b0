"""Both memories end equal, whatever the guest writes and whenever it writes it.

The last pass, guest down, must leave the destination with what the guest has, and both page tables
with the same root; that holds for pages that change from A to B and back to A between two reads.
"""

import random
from collections.abc import Generator
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmigd.chunk import CHUNK_BYTES, MIB, PAGE_BYTES, Chunk, CodecId, Section
from bmigd.codecs import ZSTD
from bmigd.drivers.base import Memory
from bmigd.transfer.batch import Batch
from bmigd.transfer.blocks import Blocks
from bmigd.transfer.content import STRIDE_BYTES, ContentTracker
from bmigd.transfer.pages import PageTable, chunk_digest, page_hashes
from bmigd.transfer.receiver import Receiver
from bmigd.transfer.runs import runs_of
from tests.transfer.memories import SEED, FreshMemory, HashedHere, LiveMemory, layout, table_of

BLOCK_BYTES = 64 << 10


def chunks_of(batch: Batch, table: PageTable, codec: CodecId = CodecId.RAW) -> list[Chunk]:
    """The chunks of a batch, made by the contract's words and not by the sender's code."""
    chunks = []
    if len(batch.pages):
        section = Section(CodecId.RAW, batch.payload)
        if codec is CodecId.ZSTD and (encoded := ZSTD.encode(batch.payload, ZSTD.levels[0])):
            section = Section(codec, encoded)
        digest = chunk_digest(batch.hashes.tobytes())
        chunks.append(Chunk("m", 1, 1, batch.region, runs_of(batch.pages), digest, (section,)))
    if len(batch.zero_pages):
        digest = chunk_digest(table.zero_hash_bytes * len(batch.zero_pages))
        runs = runs_of(batch.zero_pages)
        chunks.append(Chunk("m", 1, 2, batch.region, runs, digest, (Section(CodecId.ZERO),)))
    return chunks


class Pair:
    """A guest's memory here, its copy there, and what joins them."""

    def __init__(
        self,
        sizes_pages: list[int],
        tracker: type[ContentTracker] = ContentTracker,
        *,
        sparse: bool = False,
    ) -> None:
        self.regions = layout(sizes_pages)
        self.here = LiveMemory(self.regions, sparse=sparse)
        self.there = FreshMemory(self.regions)
        self.sent, self.written = table_of(self.regions), table_of(self.regions)
        self.tracker = tracker(self.sent, HashedHere(), Blocks(self.sent))
        self.receiver = Receiver(self.there, self.written)

    def run_pass(self, codec: CodecId = CodecId.RAW) -> int:
        """One pass over all memory; guest bytes sent."""
        sent_bytes = 0
        for batch in self.tracker.scan(self.here):
            for chunk in chunks_of(batch, self.sent, codec):
                self.receiver.apply(chunk)
                sent_bytes += chunk.memory_bytes
        return sent_bytes

    def assert_equal(self) -> None:
        """Contents, roots and what is read back."""
        assert self.here.contents == self.there.contents
        assert self.sent.root() == self.written.root()
        assert self.receiver.verify()


SIZES = [1, 16, 37]
WRITES = st.lists(
    st.tuples(
        st.integers(0, 2), st.integers(0, 36), st.sampled_from([0, 0, 1, 2, 255]), st.integers(1, 9)
    ),
    max_size=12,
)


def write_pages(pair: Pair, writes: list[tuple[int, int, int, int]]) -> None:
    """Fill runs of pages."""
    for region, page, value, count in writes:
        content = pair.here.contents[region]
        begin = (page * PAGE_BYTES) % len(content)
        end = min(begin + count * PAGE_BYTES, len(content))
        content[begin:end] = bytes([value]) * (end - begin)


@settings(deadline=None)
@given(st.lists(WRITES, max_size=4), st.sampled_from([CodecId.RAW, CodecId.ZSTD]), st.booleans())
def test_memories_are_equal_after_any_writes_between_passes(
    passes: list[list[tuple[int, int, int, int]]], codec: CodecId, sparse: bool
) -> None:
    pair = Pair(SIZES, sparse=sparse)
    for writes in passes:
        write_pages(pair, writes)
        pair.run_pass(codec)
        pair.assert_equal()


@settings(deadline=None)
@given(WRITES, WRITES)
def test_a_pass_sends_only_pages_that_differ(
    first: list[tuple[int, int, int, int]], second: list[tuple[int, int, int, int]]
) -> None:
    pair = Pair(SIZES)
    write_pages(pair, first)
    pair.run_pass()
    before = [bytes(content) for content in pair.here.contents]
    write_pages(pair, second)
    differing = sum(
        old[at : at + PAGE_BYTES] != new[at : at + PAGE_BYTES]
        for old, new in zip(before, pair.here.contents, strict=True)
        for at in range(0, len(old), PAGE_BYTES)
    )
    assert pair.run_pass() == differing * PAGE_BYTES
    assert pair.run_pass() == 0


def test_memory_that_is_all_zero_is_never_sent() -> None:
    assert Pair(SIZES).run_pass() == 0


def test_a_page_that_became_zero_is_sent_without_payload() -> None:
    pair = Pair([16])
    pair.here.contents[0][: 4 * PAGE_BYTES] = b"x" * 4 * PAGE_BYTES
    pair.run_pass()
    pair.here.contents[0][PAGE_BYTES : 2 * PAGE_BYTES] = bytes(PAGE_BYTES)
    *_, batch = pair.tracker.scan(pair.here)
    assert batch.zero_pages.tolist() == [1]
    assert (batch.pages.tolist(), bytes(batch.payload)) == ([], b"")


def test_pages_that_were_given_back_to_the_host_become_zero_and_are_not_read() -> None:
    pair = Pair([64], sparse=True)
    content = pair.here.contents[0]
    content[:] = b"x" * len(content)
    pair.run_pass()
    content[2 * PAGE_BYTES : 60 * PAGE_BYTES] = bytes(58 * PAGE_BYTES)  # holes from here on
    content[:PAGE_BYTES] = b"z" * PAGE_BYTES
    content[61 * PAGE_BYTES : 62 * PAGE_BYTES] = b"y" * PAGE_BYTES
    pair.run_pass()  # the receiver takes only what is in order
    pair.assert_equal()
    assert pair.run_pass() == 0


def test_scattered_pages_keep_nothing_of_their_blocks_in_memory() -> None:
    pair = Pair([64 * BLOCK_BYTES // PAGE_BYTES])
    content = pair.here.contents[0]
    for at in range(0, len(content), BLOCK_BYTES):
        content[at : at + PAGE_BYTES] = b"x" * PAGE_BYTES
    batches = list(pair.tracker.scan(pair.here))
    for batch in batches:  # a view of more would keep all of that
        held: Any = memoryview(batch.payload).obj
        while getattr(held, "base", None) is not None:
            held = held.base
        assert memoryview(held).nbytes == len(batch.payload)
    assert sum(len(batch.payload) for batch in batches) == 64 * PAGE_BYTES


def test_batches_are_bounded_and_report_all_that_was_looked_at() -> None:
    regions = layout([(2 * STRIDE_BYTES + BLOCK_BYTES) // PAGE_BYTES])
    memory = LiveMemory(regions)
    noise = random.Random(1).randbytes(3 * MIB)  # noqa: S311 - noise
    memory.contents[0][STRIDE_BYTES : STRIDE_BYTES + 3 * MIB] = noise
    batches = list(ContentTracker(table_of(regions), HashedHere()).scan(memory))
    assert sum(batch.scanned_bytes for batch in batches) == regions[0].size_bytes
    assert max(batch.scanned_bytes for batch in batches) <= STRIDE_BYTES
    assert max(len(batch.payload) for batch in batches) <= CHUNK_BYTES
    assert sum(len(batch.payload) for batch in batches) == 3 * MIB


A, B = b"A" * BLOCK_BYTES, b"B" * BLOCK_BYTES


class ChangingView:
    """A region under a guest that writes between any two looks at it."""

    def __init__(self, contents: list[bytes]) -> None:
        self._contents = contents
        self.looks = 0

    def __len__(self) -> int:
        return BLOCK_BYTES

    def __getitem__(self, stretch: slice) -> memoryview:
        content = self._contents[min(self.looks, len(self._contents) - 1)]
        self.looks += 1
        return memoryview(content)[stretch]


class ChangingMemory(LiveMemory):
    """One block that has these contents one after the other, the last one for good."""

    def __init__(self, contents: list[bytes]) -> None:
        super().__init__(layout([BLOCK_BYTES // PAGE_BYTES]))
        self.changing = ChangingView(contents)

    def view(self, region: int) -> memoryview:
        return cast(memoryview, self.changing)


class HashesLiveMemory(ContentTracker):
    """The rule broken: hash what the guest has now, and read it a second time for sending."""

    def scan(self, memory: Memory) -> Generator[Batch, None, None]:
        view, batch = memory.view(0), Batch(0)
        hashes = page_hashes(view[:BLOCK_BYTES], self._table.seed)
        if (hashes != self._table.regions[0]).any():
            self._table.regions[0][:] = hashes
            copy = bytes(view[:BLOCK_BYTES])
            batch.pages = np.arange(BLOCK_BYTES // PAGE_BYTES)
            batch.payload = copy
            batch.hashes = page_hashes(copy, self._table.seed)
        yield batch


def after_changes(tracker: type[ContentTracker], contents: list[bytes]) -> tuple[bytes, bytes]:
    """What is here and there after passes over changing memory and a last one, guest down."""
    memory = ChangingMemory(contents)
    fresh = FreshMemory(memory.regions)
    sent, written = table_of(memory.regions), table_of(memory.regions)
    receiver, scanner = Receiver(fresh, written), tracker(sent, HashedHere(), Blocks(sent))

    def run_pass() -> None:
        for batch in scanner.scan(memory):
            for chunk in chunks_of(batch, sent):
                receiver.apply(chunk)

    while memory.changing.looks < len(contents):
        run_pass()
    run_pass()
    return contents[-1], bytes(fresh.contents[0])


@pytest.mark.parametrize(
    "contents", [[A, B, A], [A, B], [B, A, A], [A, bytes(BLOCK_BYTES), A], [bytes(BLOCK_BYTES), A]]
)
def test_a_page_that_changes_between_two_reads_and_back_is_not_lost(contents: list[bytes]) -> None:
    here, there = after_changes(ContentTracker, contents)
    assert here == there


def test_hashing_live_memory_would_lose_a_page_that_changes_and_comes_back() -> None:
    # Hashed as A, sent as B, and A again when the last pass looks: the test above would see it.
    here, there = after_changes(HashesLiveMemory, [A, B, A])
    assert (here, there) == (A, B)


def test_root_covers_every_page_of_every_region() -> None:
    regions = layout([3, 2])
    empty = table_of(regions).root()
    roots = {empty}
    for region, page in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]:
        table = table_of(regions)
        table.regions[region][page : page + 1] = page_hashes(b"x" * PAGE_BYTES, SEED)
        roots.add(table.root())
    assert len(roots) == 6


def test_root_of_an_empty_table_is_that_of_zero_memory() -> None:
    table = table_of(layout([3]))
    other = table_of(layout([3]))
    other.regions[0][:] = page_hashes(bytes(3 * PAGE_BYTES), SEED)
    assert table.root() == other.root()


def test_hashes_depend_on_the_migration_s_seed() -> None:
    page = b"x" * PAGE_BYTES
    assert page_hashes(page, 1)[0] != page_hashes(page, 2)[0]
