"""A process with guest memory and the preloaded object, and what can be asked of it.

Tests that need the kernel are skipped where it cannot do it; a missing object is a reason to skip
only outside CI.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bmigd.chunk import PAGE_BYTES
from bmigd.drivers.base import DirtyLog, Region
from bmigd.drivers.dirtylog.log import TOO_OLD, PreloadedLog, preloaded
from bmigd.errors import LocalFault
from tests import needs

WRITER = Path(__file__).with_name("writer.py")


def regions_of(sizes_pages: list[int]) -> tuple[Region, ...]:
    """Regions of these sizes, one after the other."""
    return tuple(
        Region(f"region{number}", number << 32, pages * PAGE_BYTES)
        for number, pages in enumerate(sizes_pages)
    )


class Hypervisor:
    """One process that writes guest memory."""

    def __init__(self, directory: Path, ram_file: Path, regions: tuple[Region, ...]) -> None:
        self.regions = regions
        self.ram_file = ram_file
        self.socket_path = directory / "log"
        with ram_file.open("wb") as file:
            file.truncate(sum(region.size_bytes for region in regions))
        # Through a shell, as scripts around hypervisors are.
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", 'exec "$@"', "sh", sys.executable, str(WRITER), str(ram_file)],
            env={**os.environ, **preloaded(self.socket_path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._answer("ready")

    def do(self, command: str, answer: str = "done") -> None:
        """Have it do something; returns when it has."""
        assert self.process.stdin
        self.process.stdin.write(f"{command}\n".encode())
        self.process.stdin.flush()
        self._answer(answer)

    def log(self, unseen: str = "") -> PreloadedLog:
        """A log of what it writes, not open."""
        return PreloadedLog(self.socket_path, self.ram_file, self.regions, unseen)

    def is_watched(self) -> bool:
        """Whether the kernel has any of its memory protected against writes for us."""
        maps = Path(f"/proc/{self.process.pid}/smaps").read_text()
        return any(line.startswith("VmFlags") and " uw" in line for line in maps.splitlines())

    def end(self) -> None:
        """No more of it."""
        self.process.kill()
        self.process.communicate()

    def _answer(self, expected: str) -> None:
        assert self.process.stdout
        assert self.process.stdout.readline().decode().strip() == expected, "it died"


@contextmanager
def hypervisor(directory: Path, sizes_pages: list[int]) -> Iterator[Hypervisor]:
    """One with memory of these sizes in pages, in a file in memory."""
    require_built()
    ram_file = Path(f"/dev/shm/bmig-test-{os.getpid()}-{directory.name}")
    started = Hypervisor(directory, ram_file, regions_of(sizes_pages))
    try:
        yield started
    finally:
        started.end()
        ram_file.unlink()


def require_built() -> None:
    """Skip where there is no compiler; in CI there is one."""
    if not preloaded(Path()):
        needs.missing("the object to be preloaded was not built: is there a C compiler?")


async def require_kernel(log: DirtyLog) -> None:
    """Skip, loudly, where the kernel cannot log writes; any other reason is a failure."""
    try:
        await log.open()
    except LocalFault as error:
        if TOO_OLD not in error.message and "userfaultfd: " not in error.message:
            raise
        words = f"NOT TESTED on {os.uname().release}: {error.message}"
        needs.missing(words)
    finally:
        await log.close()
