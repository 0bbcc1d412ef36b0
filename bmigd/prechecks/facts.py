"""What prechecks compare: facts of both nodes, and findings. Values only."""

from dataclasses import dataclass, field
from enum import IntEnum

from bmigd.drivers.base import DriverFacts
from bmigd.errors import Busy
from bmigd.guests.definition import Definition
from bmigd.host import Cpu


class Verdict(IntEnum):
    """What came of a check, numbered as in the contract."""

    PASSED = 1
    WARNING = 2
    FAILED = 3


@dataclass(frozen=True)
class Finding:
    """One result. A reason is stable and for programs; empty when passed."""

    check: str
    verdict: Verdict
    message: str
    reason: str = ""
    advice: str = ""
    node: str = ""  # where it is to be mended, if that is one of both


@dataclass(frozen=True)
class DiskFacts:
    """A disk of the guest as a node sees it."""

    storage: str
    image: str
    size_bytes: int  # 0: missing
    probe: str = ""  # what was found at the source's probe; "" for nothing


class FileState(IntEnum):
    """A file of the destination beside the source's, numbered as in the contract."""

    SAME = 1
    DIFFERS = 2
    MISSING = 3  # or not a regular file, or too large to be firmware
    OUTSIDE = 4  # in no directory of firmware: it was not looked at


@dataclass(frozen=True)
class FirmwareFacts:
    """A firmware file of the guest as the destination sees it."""

    path: str
    state: FileState


@dataclass(frozen=True)
class Facts:
    """A node, as far as one guest is concerned."""

    name: str
    protocol_versions: tuple[int, ...]
    version: str
    clock_ms: int
    certificate_expires_at_s: int
    memory_available_bytes: int
    spool_available_bytes: int
    spool_in_memory: bool
    cpu: Cpu
    driver: DriverFacts
    networks: tuple[str, ...] = ()
    disks: tuple[DiskFacts, ...] = ()
    firmware: tuple[FirmwareFacts, ...] = ()
    name_taken_by: str = ""
    denied: str = ""
    silent_networks: tuple[tuple[str, str], ...] = ()  # not announced on: network, why


def memory_needed(room_bytes: tuple[int, int], spool_in_memory: bool) -> int:
    """Of memory and spool that a guest needs, what counts against memory."""
    memory_bytes, spool_bytes = room_bytes
    return memory_bytes + (spool_bytes if spool_in_memory else 0)


@dataclass(frozen=True)
class Case:
    """Everything that a check may look at."""

    guest: Definition
    source: Facts
    destination: Facts
    probe: str  # what the source wrote for the destination to find; "" if it could not
    clock_error_ms: int  # how far off the comparison of clocks may be
    is_running: bool
    unwatched: str  # what is wrong with it if it may run and nobody owns it; else ""
    may_be_sent: bool  # by the source's policy
    objections: tuple[str, ...]  # the source's driver's
    room_bytes: tuple[int, int]  # memory and spool that the guest needs on the way in
    kept_bytes: int  # spool that the suspended guest needs on the source
    fixed_downtime_s: float  # what people are told
    downtime_limit_s: float
    on_timeout: str
    cost_is_seen: bool = False  # of earlier switchovers there; else it is the driver's estimate
    busy: Busy | None = None  # what is being done with the guest already
    tracker: str = "auto"  # the one that is wanted: auto, content, pagemap
    tracker_obstacle: str = ""  # why not pagemap, in words; not asked if content is wanted
    certificate_days: float = field(default=14.0)  # warn below


def passed(check: str, message: str) -> Finding:
    """Nothing in the way."""
    return Finding(check, Verdict.PASSED, message)


def failed(check: str, reason: str, message: str, advice: str, node: str) -> Finding:
    """Stops the migration, because of what is on a node, or "" if because of how both differ."""
    return Finding(check, Verdict.FAILED, message, reason, advice, node)


def warning(check: str, reason: str, message: str, advice: str) -> Finding:
    """Worth knowing."""
    return Finding(check, Verdict.WARNING, message, reason, advice)


def mib(size_bytes: float) -> str:
    """A size for people."""
    return f"{size_bytes / (1 << 20):.0f} MiB"
