"""Pages of a region by their numbers, and as they travel: in runs of neighbours. Pure.

A run is two numbers, as in Chunk: how many pages are skipped since the run before, or since the
start of the region, and how many pages it has.
"""

from collections.abc import Generator, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from bmigd.chunk import PAGE_BYTES, Extent

Pages = npt.NDArray[np.int64]  # numbers in their region, ascending

NO_PAGES: Pages = np.zeros(0, dtype=np.int64)


def runs_of(pages: Pages) -> tuple[int, ...]:
    """Neighbours together."""
    if not len(pages):
        return ()
    first, last = int(pages[0]), int(pages[-1])
    if last - first == len(pages) - 1:  # as in most chunks of a first round
        return first, len(pages)
    begins = np.concatenate(([0], np.flatnonzero(np.diff(pages) != 1) + 1))
    counts = np.diff(begins, append=len(pages))
    firsts = pages[begins]
    skipped = np.diff(firsts, prepend=0)
    skipped[1:] -= counts[:-1]
    return tuple(np.column_stack((skipped, counts)).ravel().tolist())


def pages_of(runs: Sequence[int]) -> Pages:
    """All pages of the runs, which must not be more than there is room for."""
    if len(runs) == 2:
        return np.arange(runs[0], runs[0] + runs[1])
    skipped, counts = _columns(runs)
    pages: Pages = np.repeat(np.cumsum(skipped), counts) + np.arange(counts.sum())
    return pages


def stretches_of(runs: Sequence[int]) -> list[Extent]:
    """Each run in bytes."""
    if len(runs) == 2:
        return [Extent(runs[0] * PAGE_BYTES, runs[1] * PAGE_BYTES)]
    skipped, counts = _columns(runs)
    firsts = np.cumsum(skipped) + np.cumsum(counts) - counts
    offsets, lengths = firsts * PAGE_BYTES, counts * PAGE_BYTES
    return [Extent(*one) for one in zip(offsets.tolist(), lengths.tolist(), strict=True)]


def portions(found: Iterable[Pages], most: int) -> Generator[Pages, None, None]:
    """The same pages, so many at once; only the last may be fewer."""
    pending = NO_PAGES
    for pages in found:
        pending = np.concatenate((pending, pages)) if len(pending) else pages
        whole = len(pending) // most * most
        for at in range(0, whole, most):
            yield pending[at : at + most]
        pending = pending[whole:]
    if len(pending):
        yield pending


def _columns(runs: Sequence[int]) -> tuple[Pages, Pages]:
    both = np.array(runs, dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]
