"""Slows a hypervisor down: in short turns it runs and is stopped, as long as somebody wants it.

Rules that must not break:
- The hypervisor never stays stopped: it is continued when the slowing is ended, when it is not
  renewed in time, and, by spawning.py, when this process ends.
- Once end() has returned, nothing here stops it any more: what is asked of it then is answered.

Only the standard library, and little of it: one such process runs for every guest.
"""

import asyncio
import signal
import subprocess
import time
from collections.abc import Callable

MOST_PERCENT = 99
PERIOD_S = 0.1
SHORTEST_RUN_S = 0.002  # below that the timers of a host decide, not we
LONGEST_STOP_S = 0.4  # in which nothing of a guest is answered
LONGEST_LEASE_S = 60.0


def run_s(stopped_percent: int) -> float:
    """How long a turn of running is to be. Pure."""
    return max(SHORTEST_RUN_S, PERIOD_S * (100 - stopped_percent) / 100)


def stop_s(ran_s: float, stopped_percent: int) -> float:
    """How long to stop what ran for so long: a turn that was too long is made up for. Pure."""
    return min(LONGEST_STOP_S, ran_s * stopped_percent / (100 - stopped_percent))


class DutyCycle:
    """Of one process at a time."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped_percent = 0
        self._until_s = 0.0
        self._turning: asyncio.Task[None] | None = None

    def keep(self, process: subprocess.Popen[bytes], stopped_percent: int, lease_s: float) -> None:
        """Have it stopped for such a part of the time, from now on for so long; 0 ends it.

        RuntimeError for what is out of range, OSError if the process may not be signalled.
        """
        if not (0 <= stopped_percent <= MOST_PERCENT and 0 < lease_s <= LONGEST_LEASE_S):
            raise RuntimeError(f"{stopped_percent} % for {lease_s} s is out of range")
        if process is not self._process or not stopped_percent:
            self.end()
        if not stopped_percent:
            return
        if stopped_percent != self._stopped_percent:
            self._log(f"stopped for {stopped_percent} % of the time")
        if process is not self._process:
            process.send_signal(signal.SIGCONT)  # who may not is told so, and nothing was begun
        self._process, self._stopped_percent = process, stopped_percent
        self._until_s = time.monotonic() + lease_s
        if not self._turning or self._turning.done():
            self._turning = asyncio.create_task(self._turn(process))

    def end(self) -> None:
        """Full speed. Idempotent."""
        if self._turning:
            self._turning.cancel()
        if self._process:
            self._process.send_signal(signal.SIGCONT)
            self._log("runs at full speed again")
        self._process, self._turning, self._stopped_percent = None, None, 0

    async def _turn(self, process: subprocess.Popen[bytes]) -> None:
        try:
            while (began_s := time.monotonic()) < self._until_s:
                await asyncio.sleep(run_s(self._stopped_percent))
                ran_s = time.monotonic() - began_s
                process.send_signal(signal.SIGSTOP)
                await asyncio.sleep(stop_s(ran_s, self._stopped_percent))
                process.send_signal(signal.SIGCONT)
        finally:
            process.send_signal(signal.SIGCONT)
        self._log("nobody renews it")
        self.end()
