"""Stretches of guest memory in bytes, as systems tell them, and the pages that they touch. Pure."""

from collections.abc import Generator, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from bmigd.chunk import PAGE_BYTES, Extent
from bmigd.transfer.runs import Pages

AT_ONCE, AT_ONCE_BYTES = 4096, 64 << 20  # stretches, and what they are together


def whole_pages(stretches: Iterable[tuple[int, int]]) -> list[Extent]:
    """Offset and length in bytes, rounded outwards."""
    found = []
    for offset_bytes, length_bytes in stretches:
        first = offset_bytes // PAGE_BYTES
        end = -(-(offset_bytes + length_bytes) // PAGE_BYTES)
        found.append(Extent(first * PAGE_BYTES, (end - first) * PAGE_BYTES))
    return found


def holes(populated: Iterable[tuple[int, int]], page_count: int) -> npt.NDArray[np.bool_]:
    """For each page of a region whether nothing of it is populated."""
    is_hole = np.ones(page_count, dtype=bool)
    for offset_bytes, length_bytes in whole_pages(populated):
        is_hole[offset_bytes // PAGE_BYTES : (offset_bytes + length_bytes) // PAGE_BYTES] = False
    return is_hole


def stretches_where(
    mask: npt.NDArray[np.bool_], unit_bytes: int = PAGE_BYTES, begin_bytes: int = 0
) -> list[Extent]:
    """Neighbours together: of pages, or of larger units, those that are set; the first is there."""
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False)) * unit_bytes + begin_bytes
    begins, ends = edges[::2].tolist(), edges[1::2].tolist()
    return [Extent(begin, end - begin) for begin, end in zip(begins, ends, strict=True)]


def pages_in(stretches: Sequence[tuple[int, int]]) -> Pages:
    """The pages of which stretches have something: offset and length in bytes, ascending, apart."""
    edges = np.array(stretches, dtype=np.int64).reshape(-1, 2)
    firsts = edges[:, 0] // PAGE_BYTES
    counts = -(-edges.sum(axis=1) // PAGE_BYTES) - firsts
    before = np.cumsum(counts) - counts  # pages that come before each stretch
    pages: Pages = np.repeat(firsts - before, counts) + np.arange(counts.sum())
    return pages


def pages_in_turn(stretches: Sequence[tuple[int, int]]) -> Generator[Pages, None, None]:
    """The same, some at once: memory that was written throughout has many pages."""
    for at in range(0, len(stretches), AT_ONCE):
        some = stretches[at : at + AT_ONCE]
        if sum(length_bytes for _, length_bytes in some) <= AT_ONCE_BYTES:
            yield pages_in(some)
        else:
            yield from (pages_in([one]) for one in pieces(whole_pages(some), AT_ONCE_BYTES))


def pieces(stretches: Iterable[Extent], most_bytes: int) -> Generator[Extent, None, None]:
    """The same pages in stretches of no more than so many bytes each."""
    for offset_bytes, length_bytes in stretches:
        for done in range(0, length_bytes, most_bytes):
            yield Extent(offset_bytes + done, min(most_bytes, length_bytes - done))
