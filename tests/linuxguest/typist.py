"""Somebody at a guest's console: `bmigctl guest console` on a terminal of ours."""

import os
import pty
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cluster import Cluster, eventually


class Typist:
    """Reads what the guest prints, so that nothing waits for it, and types lines."""

    def __init__(self, world: Cluster, guest: str) -> None:
        self._terminal, other = pty.openpty()
        self._process = subprocess.Popen(
            [*world.bmigctl(), "guest", "console", guest], stdin=other, stdout=other, stderr=other
        )
        os.close(other)
        self._seen = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        eventually(lambda: b"HB " in self._seen, 60, "the guest's console")

    def type(self, line: str) -> None:
        """A line, as typed; nobody waits for an answer."""
        os.write(self._terminal, line.encode() + b"\r")

    def close(self) -> None:
        """Leave."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        os.close(self._terminal)

    def _read(self) -> None:
        try:
            while more := os.read(self._terminal, 1 << 16):
                self._seen += more
        except OSError:  # nobody is on the other end any more
            return


@contextmanager
def typist(world: Cluster, guest: str) -> Iterator[Typist]:
    """One at the console of a guest that prints heartbeats, gone afterwards."""
    made = Typist(world, guest)
    try:
        yield made
    finally:
        made.close()
