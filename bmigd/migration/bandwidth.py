"""How fast each migration may send while its guest runs: its own limit, and its share of what all
memory that leaves this node may take together.

Shares are computed anew whenever a migration comes, goes or gets another limit, and hold at once. A
guest that goes down takes part no more: whatever it spares others costs it more. A migration's own
limit is what its picture's options say, and nowhere else.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from bmigd.migration import decided
from bmigd.migration.phases import Phase
from bmigd.migration.picture import Picture
from bmigd.migration.quota import Quota
from bmigd.migration.recorder import Recorder
from bmigd.transfer.pacing import shares
from bmigd.words import limit, rate

Apply = Callable[[int], None]  # bytes per second, 0 for no limit

KIND = "bandwidth"  # of the events
WHILE_IT_RUNS = (Phase.CHECKING, Phase.PREPARING, Phase.PRECOPY)
FRACTIONS = {1: "all", 2: "half", 3: "a third", 4: "a quarter", 5: "a fifth", 6: "a sixth"}


@dataclass(eq=False)
class _Share:
    """One migration's part."""

    recorder: Recorder
    apply: Apply
    told: str = ""  # why it has less than was asked for, in words

    @property
    def cap(self) -> float:
        """The operator's limit, in bytes per second."""
        return self.recorder.picture.options.bandwidth_limit_bytes_per_s or math.inf

    def set(self, bytes_per_s: float, total: float) -> None:
        """It may send so fast from now on; told where that is less than was asked for."""
        self.apply(0 if bytes_per_s == math.inf else max(1, int(bytes_per_s)))
        words = _in_words(bytes_per_s, total) if bytes_per_s < self.cap else ""
        if words != self.told:
            self.told = words
            self.recorder.event(KIND, words or f"{rate(bytes_per_s)}, as asked for")


class Bandwidth:
    """What all memory that leaves this node may take."""

    def __init__(self, limit_bytes_per_s: int) -> None:
        self._total = limit_bytes_per_s or math.inf  # 0: no limit
        self._sharing: list[_Share] = []
        self._changes = Quota("TOO_MANY_CHANGES", 60, 0.1)  # of an operator; each is an event

    @contextmanager
    def shared(self, recorder: Recorder, apply: Apply) -> Iterator[None]:
        """One more migration sends; without a limit, and out of the others' way, afterwards."""
        share = _Share(recorder, apply)
        self._sharing.append(share)
        try:
            self._divide()
            yield
        finally:
            self._sharing.remove(share)
            share.apply(0)
            self._divide()

    def change(
        self, picture: Picture, recorder: Recorder | None, bytes_per_s: int, operator: str
    ) -> None:
        """An operator's new limit for a migration, which may not have begun to send.

        Idempotent as long as that goes on. NotPossible (MIGRATION_OVER; TOO_LATE once the guest is
        down, or when this daemon only settles the migration and has no recorder that sends);
        Busy (TOO_MANY_CHANGES).
        """
        if picture.has_ended:
            raise decided.over(picture)
        before = picture.options.bandwidth_limit_bytes_per_s
        if bytes_per_s == before:
            return
        if recorder is None or picture.phase not in WHILE_IT_RUNS:
            raise decided.past_copying(picture)
        self._changes.take(operator)
        picture.options = replace(picture.options, bandwidth_limit_bytes_per_s=bytes_per_s)
        words = f"limit changed from {limit(before)} to {limit(bytes_per_s)} by {operator}"
        recorder.event(KIND, words)
        recorder.keep()
        self._divide()

    def _divide(self) -> None:
        """Give everybody what is theirs now."""
        parts = shares(self._total, [share.cap for share in self._sharing])
        for share, part in zip(self._sharing, parts, strict=True):
            share.set(part, self._total)


def _in_words(bytes_per_s: float, total: float) -> str:
    parts = round(total / bytes_per_s)
    is_even = parts in FRACTIONS and math.isclose(parts * bytes_per_s, total)
    fraction = f", {FRACTIONS[parts]}" if is_even else ""
    return f"{rate(bytes_per_s)}{fraction} of the node's {rate(total)}"
