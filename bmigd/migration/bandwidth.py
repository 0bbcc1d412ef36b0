"""How fast each migration may send while its guest runs: its own limit, and its share of what all
memory that leaves this node may take together.

Shares are computed anew whenever a migration comes, goes or gets another limit, and hold at once. A
guest that is down takes part no more: whatever it spares others costs it more.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from bmigd.migration.recorder import Recorder
from bmigd.transfer.pacing import shares

MIB = 1 << 20
NO_LIMIT = float("inf")
Apply = Callable[[int], None]  # bytes per second, 0 for no limit


@dataclass(eq=False)
class Share:
    """One migration's part, from when it begins to send until its guest is down."""

    recorder: Recorder
    apply: Apply
    others: "Bandwidth"
    _told: int = -1
    _is_told_less: bool = False  # than what is wanted

    @property
    def wanted(self) -> int:
        """The operator's limit, in bytes per second; 0 for none."""
        return self.recorder.picture.options.bandwidth_limit_bytes_per_s

    def set(self, bytes_per_s: int) -> None:
        """It may send so fast from now on; told when that is other than what is wanted."""
        self.apply(bytes_per_s)
        if bytes_per_s == self._told:
            return
        node = f", its share of the {mib(self.others.limit_bytes_per_s)} of this node"
        is_less = bytes_per_s != self.wanted
        if is_less or self._is_told_less:
            self.recorder.event("bandwidth", f"{_at_most(bytes_per_s)}{node if is_less else ''}")
        self._told, self._is_told_less = bytes_per_s, is_less

    def leave(self) -> None:
        """Without a limit, and out of the others' way. Idempotent."""
        self.others.part_with(self)
        self.apply(0)


@dataclass
class Bandwidth:
    """What all memory that leaves this node may take."""

    limit_bytes_per_s: int  # 0: no limit
    _sharing: list[Share] = field(default_factory=list)

    def join(self, recorder: Recorder, apply: Apply) -> Share:
        """One more migration sends."""
        share = Share(recorder, apply, self)
        self._sharing.append(share)
        self.divide()
        return share

    def part_with(self, share: Share) -> None:
        """One fewer does. Idempotent."""
        if share in self._sharing:
            self._sharing.remove(share)
            self.divide()

    def divide(self) -> None:
        """Give everybody what is theirs now."""
        caps = [one.wanted or NO_LIMIT for one in self._sharing]
        for one, part in zip(
            self._sharing, shares(self.limit_bytes_per_s or NO_LIMIT, caps), strict=True
        ):
            one.set(0 if part == NO_LIMIT else max(1, round(part)))


def limit(recorder: Recorder, share: Share | None, bytes_per_s: int, operator: str) -> None:
    """An operator's new limit for a migration, which may not have begun to send."""
    options = recorder.picture.options
    before = options.bandwidth_limit_bytes_per_s
    if bytes_per_s == before:
        return
    recorder.picture.options = replace(options, bandwidth_limit_bytes_per_s=bytes_per_s)
    recorder.event("bandwidth", f"from {mib(before)} to {mib(bytes_per_s)}, by {operator}")
    recorder.keep()
    if share:
        share.others.divide()


def _at_most(bytes_per_s: int) -> str:
    return f"at most {mib(bytes_per_s)}" if bytes_per_s else mib(0)


def mib(bytes_per_s: int) -> str:
    """For people."""
    return f"{bytes_per_s / MIB:.3g} MiB/s" if bytes_per_s else "no limit"
