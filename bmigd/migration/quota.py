"""How often somebody may have something written: so much at once, and so much as time goes by.

Nodes and operators are named by certificates of the cluster, so there are few of them.
"""

import time

from bmigd.errors import Busy
from bmigd.migration.picture import DESTINATION

MOST_RECEPTIONS = 32  # of one source at a time


class Quota:
    """Of everybody for one kind of thing."""

    def __init__(self, reason: str, at_once: int, per_s: float, side: str = "") -> None:
        self._reason = reason
        self._side = side
        self._at_once = at_once
        self._per_s = per_s
        self._left: dict[str, tuple[float, float]] = {}  # what, and when that was

    def take(self, peer: str) -> None:
        """One more; Busy with the quota's reason if that is too much."""
        now = time.monotonic()
        left, at = self._left.get(peer, (float(self._at_once), now))
        left = min(self._at_once, left + (now - at) * self._per_s)
        if left < 1:
            raise Busy(self._reason, f"{peer} asks too often", "wait a minute", side=self._side)
        self._left[peer] = left - 1, now


class Moderation:
    """What a source may ask of a destination that costs it something."""

    def __init__(self) -> None:
        self.unknown = Quota("TOO_MANY_QUESTIONS", 60, 0.1, DESTINATION)  # each is journalled
        self._new = Quota("TOO_MANY_RECEPTIONS", 256, 1.0, DESTINATION)

    def require_few(self, source: str, under_way: int) -> None:
        """Before another reception; Busy (TOO_MANY_RECEPTIONS)."""
        if under_way >= MOST_RECEPTIONS:
            words = f"{source} has {under_way} guests on their way here"
            raise Busy("TOO_MANY_RECEPTIONS", words, "wait for some", side="destination")
        self._new.take(source)
