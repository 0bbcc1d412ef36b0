"""The guest that benches move, and what is measured of a move, whoever moves it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from bench.lag import Lag
from microvm.guest.rom import Program
from tests.linuxguest.settings import Settings

MIB = 1 << 20
PATIENCE_S = 30  # then the guest goes down for as long as it takes
WORK_BEATS = 4  # signs of life that are waited for: it runs, and has worked for a moment


@dataclass(frozen=True)
class Size:
    """Of the guest, in MiB."""

    memory_mib: int
    filled_mib: int

    def __str__(self) -> str:
        return f"{self.memory_mib / 1024:g} GiB, {self.filled_mib} MiB not zero"


FULL, QUICK = Size(1024, 700), Size(384, 200)


@dataclass(frozen=True)
class Lap:
    """One round."""

    dirty_bytes: int
    wire_bytes: int
    duration_ms: float
    guest_down: bool

    @property
    def mib_per_s(self) -> float:
        """Of guest memory."""
        return self.dirty_bytes / MIB / (self.duration_ms / 1e3)


@dataclass(frozen=True)
class Moved:
    """One migration."""

    total_ms: float
    downtime_ms: float
    wire_bytes: int
    source_cpu_s: float
    destination_cpu_s: float
    health: str  # of the guest over there; "well" if nothing is wrong
    parts_ms: dict[str, float] = field(default_factory=dict)  # of the downtime, where told
    estimated_downtime_ms: float | None = None  # of the last decision, where told
    rounds: list[Lap] = field(default_factory=list)  # where told
    lag: Lag = field(default_factory=dict)  # where the daemons tick


def healths(moved: Iterable[Moved]) -> str:
    """How often the guest was how."""
    counted = Counter(one.health for one in moved)
    return ", ".join(f"{count} {health}" for health, count in counted.items())


def settings(rate_mib_per_s: float, size: Size = FULL) -> Settings:
    """All that the guest filled is written again and again, page by page, at that rate."""
    return Settings(
        work=Program(
            rate_mib_per_s=rate_mib_per_s,
            set_bytes=size.filled_mib * MIB,
            text_percent=30,
            zero_percent=0,
            heartbeat_ms=200,
        )
    )
