"""Where log lines go.

Rule: a log that cannot be written stops nothing, and the next line is tried again. A full disk
under a log would else end whatever was told last, a migration half-way for instance.
"""

import contextlib
from typing import TextIO


class Sink:
    """Passes lines on to a stream, as far as it takes them."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """As a stream has it."""
        with contextlib.suppress(OSError, ValueError):  # no room; nobody reads; closed
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """As a stream has it."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()
