"""All that a guest prints, wherever it runs: read from the nodes' console logs as they grow.

A log goes away with the guest, so each is held open. The guest runs in one place at a time, so that
what comes in this order is what it printed, even a line that it began here and ended there.
"""

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

POLL_S = 0.01


class Transcript(threading.Thread):
    """Reads until stopped."""

    def __init__(self, logs: Iterable[Path]) -> None:
        super().__init__(daemon=True)
        self._logs = list(logs)
        self._open: dict[Path, int] = {}
        self._text = b""
        self._over = threading.Event()

    @property
    def text(self) -> bytes:
        """What was printed so far."""
        return self._text

    def run(self) -> None:
        """Until stop()."""
        while not self._over.wait(POLL_S):
            for log in self._logs:
                self._look(log)

    def stop(self) -> None:
        """Read no more."""
        self._over.set()
        self.join()
        for descriptor in self._open.values():
            os.close(descriptor)

    def _look(self, log: Path) -> None:
        """What has come since the last look; the last of a log that is gone comes first."""
        known = self._open.get(log)
        if known is not None:
            if os.fstat(known).st_size < os.lseek(known, 0, os.SEEK_CUR):
                os.lseek(known, 0, os.SEEK_END)  # cut to its newer half, which was read already
            while more := os.read(known, 1 << 16):
                self._text += more
        try:
            if known is not None and os.fstat(known).st_ino == log.stat().st_ino:
                return
            self._open[log] = os.open(log, os.O_RDONLY)
        except FileNotFoundError:
            self._open.pop(log, None)
        if known is not None:
            os.close(known)


@contextmanager
def transcript(logs: Iterable[Path]) -> Iterator[Transcript]:
    """A reader of these logs, which need not be there yet."""
    made = Transcript(logs)
    made.start()
    try:
        yield made
    finally:
        made.stop()
