"""Is memory what the table says was sent? Reads all of it, so only where no tracker did already."""

from collections.abc import Generator

import numpy as np
import numpy.typing as npt

from bmigd.chunk import PAGE_BYTES
from bmigd.drivers.base import Memory
from bmigd.transfer.pages import PageTable
from bmigd.transfer.stretches import holes

STEP_BYTES = 64 << 20  # between two chances to stop


def differing_pages(memory: Memory, table: PageTable) -> Generator[int, None, None]:
    """How many pages differ from the table, for one stretch of memory after the other.

    What is not populated is zero, and is not read.
    """
    for number, region in enumerate(memory.regions):
        view, known = memory.view(number), table.regions[number]
        is_hole = holes(memory.populated(number), len(known))
        yield int((known[is_hole] != table.zero_hash).sum())
        for offset in range(0, region.size_bytes, STEP_BYTES):
            yield sum(
                table.differing(number, begins, view[begins:ends])
                for begins, ends in _populated(is_hole, offset)
            )


def _populated(is_hole: npt.NDArray[np.bool_], offset: int) -> list[tuple[int, int]]:
    """Begin and end in bytes of what is populated within one step."""
    first = offset // PAGE_BYTES
    step = np.concatenate(([True], is_hole[first : first + STEP_BYTES // PAGE_BYTES], [True]))
    edges = np.flatnonzero(np.diff(step)) * PAGE_BYTES + offset
    return [(int(begins), int(ends)) for begins, ends in edges.reshape(-1, 2)]
