"""How much memory of its own a daemon takes during a migration.

Mapped files are the guest's memory and do not count. The processes that it starts to compare pages
are counted by themselves.
"""

import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SAMPLE_S = 0.1  # ten times as often took 7 % of two processors from what is measured


@dataclass(frozen=True)
class Grown:
    """The most that was seen, in bytes."""

    daemon_bytes: int  # more than before
    beside_bytes: int  # of the processes that it started, together


class Growth(threading.Thread):
    """Samples a process's anonymous memory, and its children's, from now on."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._over = threading.Event()
        self._before = self._own(pid)
        self._most = self._most_beside = 0
        self.start()

    def run(self) -> None:
        """Until stopped."""
        while not self._over.wait(SAMPLE_S):
            self._most = max(self._most, self._own(self._pid) - self._before)
            self._most_beside = max(self._most_beside, sum(map(self._own, self._children())))

    def stop(self) -> Grown:
        """The largest growth."""
        self._over.set()
        self.join()
        return Grown(self._most, self._most_beside)

    def _own(self, pid: int) -> int:
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) * 1024
        return 0  # it has ended

    def _children(self) -> list[int]:
        found: list[int] = []
        for thread in Path(f"/proc/{self._pid}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, thread.read_text().split())
        return found
