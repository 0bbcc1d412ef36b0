"""Guest time: monotonic, stopped while the guest is, carried over in a snapshot."""

from __future__ import annotations

import time

TICK_NS = 10_000_000


class Clock:
    """What the guest reads as time; made stopped."""

    def __init__(self) -> None:
        self._guest_ns = 0
        self._since_ns: int | None = None

    def now_ns(self) -> int:
        """The guest's time, which stands still while it is stopped."""
        if self._since_ns is None:
            return self._guest_ns
        return self._guest_ns + time.monotonic_ns() - self._since_ns

    def start(self) -> None:
        """It goes on."""
        if self._since_ns is None:
            self._since_ns = time.monotonic_ns()

    def stop(self) -> None:
        """It stands still."""
        self._guest_ns, self._since_ns = self.now_ns(), None

    def set_ns(self, guest_ns: int) -> None:
        """Continue from a saved time; only while stopped."""
        self._guest_ns = guest_ns

    def until_tick_s(self) -> float:
        """How long until the next timer tick, by the guest's time."""
        return (TICK_NS - self.now_ns() % TICK_NS) / 1e9
