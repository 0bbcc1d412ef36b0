"""How many of the host's processors have nothing to do: whether stages that run beside each other
take time from each other.
"""

import time

import psutil

LEAST_S = 0.05  # the counters are hundredths of a second


class Idle:
    """Between two looks; all, before the second. Whatever runs on the host counts, guests too."""

    def __init__(self) -> None:
        self._count = psutil.cpu_count() or 1
        self._processors = float(self._count)
        self._seen, self._looked_s = _seconds(), time.monotonic()

    def processors(self) -> float:
        """As many as were idle of late, 0.0 to all. A look takes longer than hashing a chunk."""
        if time.monotonic() - self._looked_s >= LEAST_S:
            before, self._seen, self._looked_s = self._seen, _seconds(), time.monotonic()
            passed_s, idle_s = (now - then for now, then in zip(self._seen, before, strict=True))
            if passed_s > 0:
                self._processors = self._count * max(0.0, min(1.0, idle_s / passed_s))
        return self._processors


def _seconds() -> tuple[float, float]:
    """Of all processors together: all time, and idle time."""
    times = psutil.cpu_times()
    return sum(times), times.idle
