"""What finding dirty pages costs: the kernel's log, and both trackers' passes, on 1 GiB of memory.

A process with the preloaded object writes single pages all over its memory between the passes. The
two trackers take turns; medians and ranges go to standard output. See bench/README.md.
"""

import asyncio
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from bmigd.chunk import MIB, PAGE_BYTES
from bmigd.drivers.bhyve.memory import snapshot_memory
from bmigd.transfer.blocks import Blocks
from bmigd.transfer.content import ContentTracker
from bmigd.transfer.hashing import Hashers
from bmigd.transfer.pagemap import PagemapTracker
from bmigd.transfer.pages import PageTable
from bmigd.transfer.tracker import Tracker
from bmigd.transfer.verification import differing_pages
from tests.drivers.dirtylog.hypervisor import Hypervisor, hypervisor

PAGES = 1024 * MIB // PAGE_BYTES
RUNS = 7
DIRTY_PAGES = (0, 2_000, 10_000)

Figures = dict[str, list[float]]


def timed(figures: Figures, name: str, work: Callable[[], object]) -> None:
    """Do it, and note the milliseconds."""
    began = time.perf_counter()
    work()
    figures.setdefault(name, []).append((time.perf_counter() - began) * 1000)


async def measure(started: Hypervisor) -> Figures:
    """All runs."""
    figures: Figures = {}
    memory = snapshot_memory(started.ram_file, started.regions)
    log = started.log()
    await log.open()
    exact_table, content_table = (PageTable([PAGES * PAGE_BYTES], 1) for _ in range(2))
    hashers = Hashers(content_table.seed)
    by_content = ContentTracker(content_table, hashers, Blocks(content_table))
    trackers: list[Tracker] = [
        PagemapTracker(exact_table, log, Hashers(exact_table.seed)),
        by_content,
    ]
    for tracker in trackers:
        list(tracker.scan(memory))
    for run in range(RUNS):
        for count in DIRTY_PAGES:
            scattered(started, count, run)
            for tracker in trackers:
                name = f"{tracker.name} pass, {count} dirty pages"
                timed(figures, name, lambda: [None for _ in tracker.scan(memory)])  # noqa: B023
            scattered(started, count, run + RUNS)
            timed(figures, f"log alone, {count} dirty pages", lambda: log.take(0))
            list(trackers[1].scan(memory))
        exact_table.regions[0][:] = content_table.regions[0]  # what was taken from the log alone
        timed(figures, "verifying pass", lambda: sum(differing_pages(memory, exact_table)))
    await log.close()
    for _ in range(RUNS):
        timed(figures, "filling it, not watched", lambda: fill(started))
        first = started.log()
        await first.open()
        timed(figures, "log alone, first take", lambda: first.take(0))  # noqa: B023
        timed(figures, "filling it, watched", lambda: fill(started))
        first.take(0)
        began = time.perf_counter()
        await first.close()
        figures.setdefault("closing the log", []).append((time.perf_counter() - began) * 1000)
        timed(figures, "filling it, watched no more", lambda: fill(started))
        timed(figures, "filling it, and once more", lambda: fill(started))
    hashers.close()
    memory.close()
    return figures


def fill(started: Hypervisor) -> None:
    """Write all pages."""
    started.do(f"write 0 98 {PAGES}")


def scattered(started: Hypervisor, count: int, seed: int) -> None:
    """Write so many single pages."""
    chance = random.Random(seed)  # noqa: S311
    for page in chance.sample(range(PAGES), count):
        started.do(f"write {page} {1 + seed}")


def main() -> None:
    """Measure and print."""
    with TemporaryDirectory() as directory, hypervisor(Path(directory), [PAGES]) as started:
        started.do(f"write 0 99 {PAGES}")
        figures = asyncio.run(measure(started))
    for name, values in sorted(figures.items()):
        middle = statistics.median(values)
        sys.stdout.write(f"{name:36} {middle:8.2f} ms ({min(values):.2f} to {max(values):.2f})\n")


if __name__ == "__main__":
    main()
