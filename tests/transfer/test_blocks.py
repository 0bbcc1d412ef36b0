"""A block is passed over only if all of it is what the destination has, whatever became of it
since its hash was made; and a quiet guest's memory is compared by blocks alone.
"""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmigd.chunk import PAGE_BYTES
from bmigd.transfer import content
from bmigd.transfer.blocks import (
    BLOCK_BYTES,
    BLOCK_PAGES,
    FEW,
    GROUP_BLOCKS,
    GROUP_PAGES,
    Blocks,
)
from bmigd.transfer.content import ContentTracker
from bmigd.transfer.stretches import holes, stretches_where
from tests.transfer.memories import HashedHere
from tests.transfer.test_tracker import Pair

PAGES = GROUP_PAGES + 19  # a block and three pages after the only group
X, Y = b"x" * BLOCK_BYTES, b"y" * BLOCK_BYTES


class Moving(Pair):
    """A pair whose looks are counted."""

    def __init__(self, pages: int = PAGES, *, sparse: bool = False) -> None:
        super().__init__([pages], sparse=sparse)
        self.counting = HashedHere()
        self.blocks = Blocks(self.sent)
        self.tracker = ContentTracker(self.sent, self.counting, self.blocks)
        self.content = self.here.contents[0]

    def page(self, number: int) -> bytes:
        return bytes(self.content[number * PAGE_BYTES : (number + 1) * PAGE_BYTES])

    def write(self, page: int, content: bytes) -> None:
        self.content[page * PAGE_BYTES : page * PAGE_BYTES + len(content)] = content


BY_BLOCKS, BY_PAGES = {BLOCK_BYTES: GROUP_PAGES, PAGE_BYTES: 19}, {PAGE_BYTES: PAGES}


def test_what_did_not_change_is_hashed_by_blocks_and_the_rest_by_pages() -> None:
    moving = Moving()
    moving.write(0, X * GROUP_BLOCKS + X + X[: 3 * PAGE_BYTES])
    moving.run_pass()
    assert moving.counting.taken() == {}  # the first pass copies all
    assert (moving.run_pass(), moving.counting.taken()) == (0, BY_BLOCKS)
    moving.write(BLOCK_PAGES + 4, Y[:PAGE_BYTES])
    one_more = {BLOCK_BYTES: GROUP_PAGES, PAGE_BYTES: 19 + BLOCK_PAGES}
    assert (moving.run_pass(), moving.counting.taken()) == (PAGE_BYTES, one_more)
    assert (moving.run_pass(), moving.counting.taken()) == (0, one_more)  # its hash is of before
    moving.write(BLOCK_PAGES, Y)  # all of it but that page
    moving.run_pass()
    moving.write(BLOCK_PAGES, X)  # all of it
    moving.run_pass()
    moving.counting.taken()
    assert (moving.run_pass(), moving.counting.taken()) == (0, BY_BLOCKS)
    moving.assert_equal()


@pytest.mark.parametrize("written", [FEW, FEW + 1])
def test_where_more_than_a_few_blocks_were_written_all_of_the_group_goes_by_pages(
    written: int,
) -> None:
    moving = Moving()
    moving.write(0, X * GROUP_BLOCKS)
    moving.run_pass()
    for block in range(written):
        moving.write(2 * block * BLOCK_PAGES, Y[:PAGE_BYTES])
    apart = {BLOCK_BYTES: GROUP_PAGES, PAGE_BYTES: 19 + FEW * BLOCK_PAGES}
    whole = {BLOCK_BYTES: GROUP_PAGES, PAGE_BYTES: PAGES}
    expected = apart if written == FEW else whole
    assert (moving.run_pass(), moving.counting.taken()) == (written * PAGE_BYTES, expected)
    expected = apart if written == FEW else BY_PAGES  # blocks are not even asked for
    assert (moving.run_pass(), moving.counting.taken()) == (0, expected)
    moving.assert_equal()


def test_blocks_are_known_again_that_were_copied_whole_among_single_pages() -> None:
    moving = Moving()
    moving.write(0, X * GROUP_BLOCKS)
    moving.run_pass()
    moving.write(3, Y[:PAGE_BYTES])  # of a block of which nothing else is copied
    for block in (2, 3, 5):
        moving.write(block * BLOCK_PAGES, Y)
    moving.write(4 * BLOCK_PAGES + 1, Y[:PAGE_BYTES])
    assert moving.run_pass() == 3 * BLOCK_BYTES + 2 * PAGE_BYTES
    moving.counting.taken()
    two_apart = {BLOCK_BYTES: GROUP_PAGES, PAGE_BYTES: 19 + 2 * BLOCK_PAGES}
    assert (moving.run_pass(), moving.counting.taken()) == (0, two_apart)
    moving.assert_equal()


@pytest.mark.parametrize("page", [0, 7, BLOCK_PAGES - 1])
def test_a_block_that_is_again_what_it_was_is_not_what_the_destination_has(page: int) -> None:
    moving = Moving()
    moving.write(0, X * GROUP_BLOCKS)
    moving.run_pass()
    moving.write(page, Y[:PAGE_BYTES])
    assert moving.run_pass() == PAGE_BYTES
    moving.write(0, X)  # its hash is the one of the first pass
    assert moving.run_pass() == PAGE_BYTES
    moving.assert_equal()


def page_of(value: int) -> bytes:
    return bytes([value]) * PAGE_BYTES


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("value", [0, 2], ids=["with a zero page", "with another"])
def test_pages_that_change_places_and_back_are_sent_both_times(value: int, *, sparse: bool) -> None:
    moving = Moving(sparse=sparse)
    moving.write(0, X * GROUP_BLOCKS)
    moving.write(3, page_of(1) + page_of(value))
    moving.run_pass()
    moving.write(3, page_of(value) + page_of(1))
    assert moving.run_pass() == 2 * PAGE_BYTES
    moving.write(3, page_of(1) + page_of(value))
    assert moving.run_pass() == 2 * PAGE_BYTES  # though the block is what it was at first
    moving.assert_equal()


def test_memory_given_back_to_the_host_and_written_as_before_is_sent_again() -> None:
    moving = Moving(sparse=True)
    moving.write(0, X * GROUP_BLOCKS)
    moving.run_pass()
    moving.write(0, bytes(BLOCK_BYTES))  # a hole: the destination has zeroes from now on
    moving.run_pass()
    moving.write(0, X)
    assert moving.run_pass() == BLOCK_BYTES
    moving.assert_equal()


MORE_PAGES = 2 * GROUP_PAGES + 19
NEAR = st.integers(0, 3) | st.integers(GROUP_PAGES - 3, GROUP_PAGES + 3)  # so that they come back
SWAP, FILL = "swap", "fill"
WRITES = st.lists(
    st.tuples(st.just(SWAP), NEAR, NEAR)
    | st.tuples(st.just(FILL), NEAR, st.integers(0, 2))
    | st.tuples(st.just(FILL), st.just(0), st.just(1)),
    max_size=4,
)


@settings(deadline=None, max_examples=50)
@given(st.lists(WRITES, max_size=6), st.booleans())
def test_memories_are_equal_whatever_comes_back(
    passes: list[list[tuple[str, int, int]]], sparse: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(content, "LOOK_PAGES", GROUP_PAGES)  # as if it were a large memory
        moving = Moving(MORE_PAGES, sparse=sparse)
        for page in range(0, MORE_PAGES, 5):
            moving.write(page, page_of(page % 3 + 1))
        for writes in passes:
            for what, page, other in writes:
                if what == FILL:
                    moving.write(page, page_of(other) * (GROUP_PAGES if page == 0 else 1))
                else:
                    here, there = moving.page(page), moving.page(other)
                    moving.write(page, there)
                    moving.write(other, here)
            moving.run_pass()
            moving.assert_equal()


def test_a_large_memory_is_sent_from_before_all_of_it_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(content, "LOOK_PAGES", GROUP_PAGES)
    moving = Moving(12 * GROUP_PAGES)
    moving.write(0, X * GROUP_BLOCKS * 12)
    moving.run_pass()
    moving.write(0, Y * GROUP_BLOCKS * 12)
    next(one for one in moving.tracker.scan(moving.here) if len(one.pages))
    assert moving.counting.taken() == {BLOCK_BYTES: GROUP_PAGES, PAGE_BYTES: GROUP_PAGES}
    moving.run_pass()  # all of it is copied anew
    moving.counting.taken()
    assert moving.run_pass() == 0
    assert moving.counting.taken() == {BLOCK_BYTES: 12 * GROUP_PAGES}


def test_all_that_was_looked_at_is_counted_once() -> None:
    moving = Moving()
    moving.write(0, X * GROUP_BLOCKS)
    moving.run_pass()
    moving.write(20, Y[:PAGE_BYTES])
    batches = list(moving.tracker.scan(moving.here))
    assert sum(batch.scanned_bytes for batch in batches) == PAGES * PAGE_BYTES


def test_a_group_of_which_not_all_is_to_be_looked_at_is_not_asked_for() -> None:
    moving = Moving()
    moving.write(0, X * GROUP_BLOCKS)
    moving.run_pass()
    look = np.ones(PAGES, dtype=bool)
    look[3] = False
    assert list(moving.blocks.unlike(moving.counting, moving.here, 0, 0, look)) == []
    look[3] = True
    done_bytes = sum(moving.blocks.unlike(moving.counting, moving.here, 0, 0, look))
    assert done_bytes == GROUP_PAGES * PAGE_BYTES
    assert np.flatnonzero(look).tolist() == list(range(GROUP_PAGES, PAGES))


def test_blocks_of_a_copy_that_begins_within_one_are_known_but_that() -> None:
    moving = Moving()
    random_pages = random.Random(4).randbytes(GROUP_PAGES * PAGE_BYTES)  # noqa: S311 - noise
    moving.write(0, random_pages)
    moving.run_pass()
    blocks, pages = Blocks(moving.sent), np.arange(5, GROUP_PAGES)
    blocks.note(0, pages, random_pages[5 * PAGE_BYTES :])
    look = np.ones(PAGES, dtype=bool)
    done_bytes = sum(blocks.unlike(moving.counting, moving.here, 0, 0, look))
    assert done_bytes == (GROUP_BLOCKS - 1) * BLOCK_BYTES
    assert np.flatnonzero(look).tolist() == [*range(BLOCK_PAGES), *range(GROUP_PAGES, PAGES)]


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_stretches_where_is_the_inverse_of_holes(mask: list[bool]) -> None:
    there = np.array(mask)
    stretches = stretches_where(there)
    assert (holes(stretches, len(mask)) == ~there).all()
    ends = [one.offset_bytes + one.length_bytes for one in stretches]
    assert all(
        end < after.offset_bytes for end, after in zip(ends, stretches[1:], strict=False)
    )  # neighbours are together
