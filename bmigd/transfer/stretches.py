"""Stretches of guest memory in whole pages, from what is populated or dirty to chunks. Pure."""

from collections.abc import Generator, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from bmigd.chunk import CHUNK_BYTES, PAGE_BYTES, Extent

Pages = npt.NDArray[np.int64]


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


def runs(pages: Pages) -> list[Extent]:
    """Numbers of pages, ascending: neighbours together."""
    if not len(pages):
        return []
    begins = np.concatenate(([0], np.flatnonzero(np.diff(pages) != 1) + 1))
    counts = np.diff(begins, append=len(pages))
    offsets, lengths = pages[begins] * PAGE_BYTES, counts * PAGE_BYTES
    return [Extent(*one) for one in zip(offsets.tolist(), lengths.tolist(), strict=True)]


def pages_of(stretches: Sequence[Extent]) -> Pages:
    """The number in its region of each page, in order."""
    edges = np.array(stretches, dtype=np.int64).reshape(-1, 2) // PAGE_BYTES
    firsts, counts = edges[:, 0], edges[:, 1]
    before = np.cumsum(counts) - counts  # pages that come before each stretch
    pages: Pages = np.repeat(firsts - before, counts) + np.arange(counts.sum())
    return pages


def pieces(stretches: Iterable[Extent], most_bytes: int) -> Generator[Extent, None, None]:
    """The same pages in stretches of no more than so many bytes each."""
    for offset_bytes, length_bytes in stretches:
        for done in range(0, length_bytes, most_bytes):
            yield Extent(offset_bytes + done, min(most_bytes, length_bytes - done))


def chunks(
    stretches: Iterable[Extent], most_bytes: int = CHUNK_BYTES
) -> Generator[list[Extent], None, None]:
    """The same pages in lists of a chunk's worth each; only the last may be less."""
    taken: list[Extent] = []
    room_bytes = most_bytes
    for offset_bytes, length_bytes in stretches:
        at, ends = offset_bytes, offset_bytes + length_bytes
        while at < ends:
            one = Extent(at, min(ends - at, room_bytes))
            taken.append(one)
            at, room_bytes = at + one.length_bytes, room_bytes - one.length_bytes
            if not room_bytes:
                yield taken
                taken, room_bytes = [], most_bytes
    if taken:
        yield taken


def size_bytes(stretches: Iterable[Extent]) -> int:
    """All of them together."""
    return sum(one.length_bytes for one in stretches)
