"""How fast to send. Pure: takes the time as an argument, never reads a clock."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

BURST_S = 0.05  # a limited link gets no more than this at once


@dataclass
class Pacer:
    """A token bucket: how long to wait before the next bytes may go."""

    limit_bytes_per_s: int  # 0 means no limit
    free_at_s: float = 0.0  # when everything sent so far has drained

    def wait_s(self, now_s: float, sent_bytes: int) -> float:
        """Account for bytes sent now; seconds to wait before sending more."""
        if not self.limit_bytes_per_s:
            return 0.0
        self.free_at_s = max(self.free_at_s, now_s - BURST_S)
        self.free_at_s += sent_bytes / self.limit_bytes_per_s
        return max(0.0, self.free_at_s - now_s)

    def change(self, now_s: float, limit_bytes_per_s: int) -> None:
        """Another limit from now on, at which drains what has not drained yet."""
        left_bytes = max(0.0, self.free_at_s - now_s) * self.limit_bytes_per_s
        self.free_at_s = now_s + (left_bytes / limit_bytes_per_s if limit_bytes_per_s else 0.0)
        self.limit_bytes_per_s = limit_bytes_per_s


def shares(total: float, caps: Sequence[float]) -> list[float]:
    """What each gets of a total, none above its cap; infinite where there is no bound.

    Max-min fair: nobody could be given more without taking it from one that has no more.
    """
    left, level = total, math.inf
    for served, cap in enumerate(sorted(caps)):
        fair = left / (len(caps) - served)
        if cap >= fair:
            level = fair  # for everybody who wants as much
            break
        left -= cap
    return [min(cap, level) for cap in caps]
