"""Pages become runs and stretches and the same pages again, whichever they are."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bmigd.chunk import PAGE_BYTES
from bmigd.transfer.runs import pages_of, portions, runs_of, stretches_of
from bmigd.transfer.stretches import pages_in

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


@given(st.integers(0, 700), st.integers(1, 300))
def test_portions_are_the_same_pages_and_full_but_for_the_last(count: int, most: int) -> None:
    made = [one.tolist() for one in portions(np.arange(count), most)]
    assert [page for one in made for page in one] == list(range(count))
    assert all(len(one) == most for one in made[:-1])
    assert all(made)
