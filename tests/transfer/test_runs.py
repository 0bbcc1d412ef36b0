"""Pages become runs and stretches and the same pages again, whichever they are."""

from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmigd.chunk import PAGE_BYTES
from bmigd.transfer.runs import pages_of, portions, runs_of, stretches_of
from bmigd.transfer.stretches import AT_ONCE, AT_ONCE_BYTES, pages_in, pages_in_turn

PAGES = st.sets(st.integers(0, 60)).map(sorted)  # many of them neighbours


@given(PAGES)
def test_runs_have_the_same_pages_and_neighbours_are_together(pages: list[int]) -> None:
    runs = runs_of(np.array(pages, dtype=np.int64))
    assert pages_of(runs).tolist() == pages
    assert all(count > 0 for count in runs[1::2])
    assert all(skipped > 0 for skipped in runs[2::2])  # else it would be the same run


def test_far_pages_keep_their_numbers() -> None:
    far = (1 << 32) - 1
    assert runs_of(np.array([0, far - 1, far])) == (0, 1, far - 2, 2)
    assert pages_of((0, 1, far - 2, 2)).tolist() == [0, far - 1, far]


@given(PAGES)
def test_stretches_of_runs_are_the_same_pages(pages: list[int]) -> None:
    stretches = stretches_of(runs_of(np.array(pages, dtype=np.int64)))
    numbers = [
        at // PAGE_BYTES
        for offset, length in stretches
        for at in range(offset, offset + length, PAGE_BYTES)
    ]
    assert numbers == pages
    assert pages_in(stretches).tolist() == pages


@given(st.lists(st.tuples(st.integers(0, 9000), st.integers(1, 9000)), max_size=8))
def test_a_page_is_in_a_stretch_if_any_byte_of_it_is(gaps: list[tuple[int, int]]) -> None:
    stretches, at = [], 0
    for gap, length in gaps:
        begins = -(-at // PAGE_BYTES) * PAGE_BYTES + gap  # on pages that no other one touches
        stretches.append((begins, length))
        at = begins + length
    touched = sorted(
        {at // PAGE_BYTES for begins, length in stretches for at in range(begins, begins + length)}
    )
    assert pages_in(stretches).tolist() == touched


@given(st.lists(st.integers(0, 300), max_size=6), st.integers(1, 300))
def test_portions_are_the_same_pages_and_full_but_for_the_last(
    counts: list[int], most: int
) -> None:
    ends = list(accumulate(counts, initial=0))
    found = [np.arange(begin, end) for begin, end in pairwise(ends)]
    made = [one.tolist() for one in portions(found, most)]
    assert [page for one in made for page in one] == list(range(ends[-1]))
    assert all(len(one) == most for one in made[:-1])
    assert all(made)


@pytest.mark.parametrize(
    "stretches",
    [
        [],
        [(at * PAGE_BYTES, PAGE_BYTES) for at in range(0, 3 * AT_ONCE, 2)],  # many
        [(PAGE_BYTES, 3 * AT_ONCE_BYTES)],  # large
        [(0, PAGE_BYTES), (3 * PAGE_BYTES, AT_ONCE_BYTES), (2 * AT_ONCE_BYTES, PAGE_BYTES)],
    ],
    ids=["none", "many", "large", "mixed"],
)
def test_pages_come_in_turn_so_that_not_all_are_there_at_once(
    stretches: list[tuple[int, int]],
) -> None:
    made = list(pages_in_turn(stretches))
    assert [page for one in made for page in one.tolist()] == pages_in(stretches).tolist()
    assert all(len(one) * PAGE_BYTES <= AT_ONCE_BYTES for one in made)
