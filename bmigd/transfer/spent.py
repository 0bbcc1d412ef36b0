"""Where the time of a transfer goes, so that one knows what to make faster.

Parts overlap: what threads and streams do at once is counted for each. Each part is added to by one
thread at a time.
"""

import time
from collections.abc import Generator
from contextlib import contextmanager


class Spent:
    """Seconds by what they were spent on, in the order in which that first happened."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def on(self, what: str) -> Generator[None, None, None]:
        """What is done here counts."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.add(what, time.perf_counter() - began)

    def add(self, what: str, seconds: float) -> None:
        """That was measured elsewhere."""
        self.seconds[what] = self.seconds.get(what, 0.0) + seconds

    def sum(self, *whats: str) -> float:
        """Of some parts, in seconds."""
        return sum(self.seconds.get(what, 0.0) for what in whats)
