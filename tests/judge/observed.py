"""What a guest printed, where and when: seen from outside, by reading consoles as they grow.

A life is one console of one node: when its file goes away and comes again, that is another life.
Times are of one clock, taken when a line was seen.
"""

import json
import os
import re
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

POLL_S = 0.01
_LINE = re.compile(
    rb"^(?:BOOT .*|HB n=(\d+) chain=([0-9a-f]{16}) bad=(\d+)(?: up=[0-9.]+)?)\r?\n", re.MULTILINE
)


@dataclass(frozen=True)
class Line:
    """A boot, or a heartbeat of n operations."""

    at_s: float
    guest: str
    node: str
    life: int
    n: int = -1  # of a boot
    chain: str = ""
    bad: int = 0

    @property
    def is_boot(self) -> bool:
        """Whether the guest started afresh."""
        return self.n < 0


def write(lines: Iterable[Line], path: Path) -> None:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(asdict(line)) + "\n" for line in lines))


def read(path: Path) -> list[Line]:
    """The inverse of write."""
    return [Line(**json.loads(text)) for text in path.read_text().splitlines()]


class _Console:
    """One console file, held open so that no other can take its place unseen."""

    def __init__(self, path: Path, node: str, life: int) -> None:
        self.node, self.life, self.guest = node, life, path.parent.name
        self._descriptor = os.open(path, os.O_RDONLY)
        self.inode = os.fstat(self._descriptor).st_ino
        self._rest = b""
        self._position = 0

    def more(self) -> list[Line]:
        """Whole lines that have come since the last look."""
        size = os.fstat(self._descriptor).st_size
        if size < self._position:  # cut to its newer half, which was read already
            self._position, self._rest = size, b""
        new = os.pread(self._descriptor, size - self._position, self._position)
        self._position += len(new)
        text = self._rest + new
        whole = text.rfind(b"\n") + 1
        self._rest = text[whole:]
        return [self._line(found) for found in _LINE.finditer(text[:whole])]

    def close(self) -> None:
        os.close(self._descriptor)

    def _line(self, found: re.Match[bytes]) -> Line:
        at_s = time.monotonic()
        if found[1] is None:
            return Line(at_s, self.guest, self.node, self.life)
        n, chain, bad = int(found[1]), found[2].decode(), int(found[3])
        return Line(at_s, self.guest, self.node, self.life, n, chain, bad)


class Observer(threading.Thread):
    """Reads every console below the nodes' run directories until stopped."""

    def __init__(self, run_directories: dict[str, Path]) -> None:
        super().__init__(daemon=True)
        self.lines: list[Line] = []
        self._directories = run_directories
        self._open: dict[Path, _Console] = {}
        self._lives = 0
        self._over = threading.Event()

    def run(self) -> None:
        """Until stop()."""
        while not self._over.wait(POLL_S):
            self._look()

    def stop(self) -> list[Line]:
        """Everything that was seen."""
        self._over.set()
        self.join()
        self._look()
        for console in self._open.values():
            console.close()
        return self.lines

    def _look(self) -> None:
        for console in self._open.values():
            self.lines += console.more()
        for node, directory in self._directories.items():
            for path in directory.glob("*/console.log"):
                self._open_if_new(path, node)
        for path in [path for path in self._open if not path.exists()]:
            console = self._open.pop(path)
            self.lines += console.more()
            console.close()

    def _open_if_new(self, path: Path, node: str) -> None:
        known = self._open.get(path)
        try:
            if known and known.inode == path.stat().st_ino:
                return
            self._lives += 1
            console = _Console(path, node, self._lives)
        except FileNotFoundError:
            return
        if known:
            self.lines += known.more()
            known.close()
        self._open[path] = console
        self.lines += console.more()
