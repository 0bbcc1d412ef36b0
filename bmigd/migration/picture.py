"""What is known of a migration, for people and programs. Values only; JSON and back.

Nothing here decides who owns a guest: that is the journal's.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from bmigd.errors import BmigError
from bmigd.migration.phases import ENDED, Phase
from bmigd.words import short

SOURCE, DESTINATION = "source", "destination"
IN_DOUBT = "in doubt"  # kind of the event that tells what a source waits for


@dataclass(frozen=True)
class Options:
    """How a migration is to be done, defaults filled in."""

    downtime_limit_ms: int = 300
    timeout_s: int = 3600
    on_timeout: str = "abort"  # abort, switch-over, throttle
    bandwidth_limit_bytes_per_s: int = 0  # 0: none
    codec: int = 0  # a CodecId; 0: the source chooses
    verify: bool = False
    probe_address: str = ""  # of the guest, to be asked during the switchover
    tracker: str = "auto"  # auto, content, pagemap
    streams: int = 0  # that carry memory at the same time; 0: the source chooses

    @property
    def copying_limit_s(self) -> float:
        """How long copying may take before it is given up; inf if something else is done then."""
        return self.timeout_s if self.on_timeout == "abort" else math.inf


@dataclass
class Progress:
    """What is known while it goes on."""

    phase: Phase = Phase.CHECKING
    round: int = 0
    memory_bytes: int = 0
    round_scanned_bytes: int = 0
    sent_bytes: int = 0
    wire_bytes: int = 0
    rate_bytes_per_s: int = 0
    dirty_rate_bytes_per_s: int | None = None  # as far as known, like the two that follow
    estimated_downtime_ms: int | None = None
    estimated_remaining_ms: int | None = None
    percent: int = 0
    throttle_percent: int = 0  # of the time, that the guest is stopped; 0: full speed
    is_without_end: bool = False  # going on like this
    waiting_for: str = ""  # while nothing moves
    waited_ms: int = 0  # in events

    def forget(self) -> None:
        """What is to come is not known any more."""
        self.dirty_rate_bytes_per_s = self.estimated_downtime_ms = None
        self.estimated_remaining_ms, self.is_without_end = None, False


@dataclass(frozen=True)
class Failure:
    """Why it ended without moving the guest."""

    reason: str
    message: str
    side: str
    location: str
    advice: str


@dataclass(frozen=True)
class Part:
    """One part of the downtime, or of the time for memory."""

    name: str
    side: str
    duration_us: int


@dataclass(frozen=True)
class Round:
    """One round."""

    number: int
    dirty_bytes: int
    wire_bytes: int
    duration_us: int
    guest_down: bool = False


@dataclass(frozen=True)
class Interruption:
    """One time that the other node was lost or silent."""

    waited_for: str
    duration_us: int
    guest_down: bool
    heard_again: bool  # otherwise it was given up


@dataclass
class Report:
    """What it took."""

    rounds: list[Round] = field(default_factory=list)
    downtime_us: int = 0
    downtime_parts: list[Part] = field(default_factory=list)
    total_us: int = 0
    sent_bytes: int = 0
    wire_bytes: int = 0
    source_memory_root: str = ""
    destination_memory_root: str = ""
    tracker: str = ""
    reconnects: int = 0
    verified: bool = False
    interruptions: list[Interruption] = field(default_factory=list)
    resent_bytes: int = 0
    network_downtime_us: int = 0  # 0: not measured
    throttle_percent: int = 0  # the highest
    throttled_us: int = 0
    spent: list[Part] = field(default_factory=list)  # on memory, by both sides; parts overlap
    streams: int = 0


@dataclass(frozen=True)
class Event:
    """Something that happened. Sequence 0: a progress sample, not kept."""

    sequence: int
    at_ms: int
    kind: str
    message: str
    phase: Phase
    progress: Progress | None = None


@dataclass
class Picture:
    """One migration as one node sees it."""

    id: str
    guest: str
    source: str
    destination: str
    side: str
    epoch: int
    requested_by: str
    options: Options
    ownership: str = ""
    phase: Phase = Phase.CHECKING
    progress: Progress = field(default_factory=Progress)
    failure: Failure | None = None
    report: Report = field(default_factory=Report)
    started_at_ms: int = 0
    ended_at_ms: int = 0
    in_doubt_since_ms: int = 0
    waiting_for: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.phase in ENDED


def spent_parts(seconds: Mapping[str, float], side: str) -> list[Part]:
    """What a side spent on memory, by what it was spent on."""
    return [Part(what, side, round(spent_s * 1e6)) for what, spent_s in seconds.items()]


def failure_of(error: BaseException, side: str, location: str) -> Failure:
    """An error as the reason why a migration ended."""
    if isinstance(error, BmigError):
        return Failure(
            error.reason,
            error.message,
            error.side or side,
            location,
            error.advice or "try again; if it fails again, see the logs of bmigd on both nodes",
        )
    if isinstance(error, BaseExceptionGroup):
        return failure_of(error.exceptions[0], side, location)
    words = f"{type(error).__name__}: {error}"
    return Failure("INTERNAL", short(words), side, location, "report this with the log of the node")


def to_json(value: Picture | Event) -> dict[str, Any]:
    """As plain values."""
    return asdict(value)


def picture_from_json(content: Mapping[str, Any]) -> Picture:
    """The inverse of to_json for pictures."""
    values = dict(content)
    report = dict(values["report"])
    report["rounds"] = [Round(**one) for one in report["rounds"]]
    for parts in ("downtime_parts", "spent"):
        report[parts] = [Part(**one) for one in report.get(parts, ())]
    report["interruptions"] = [Interruption(**one) for one in report.get("interruptions", ())]
    values["report"] = Report(**report)
    values["options"] = Options(**values["options"])
    values["phase"] = Phase(values["phase"])
    values["progress"] = _progress(values["progress"])
    values["failure"] = Failure(**values["failure"]) if values["failure"] else None
    return Picture(**values)


def event_from_json(content: Mapping[str, Any]) -> Event:
    """The inverse of to_json for events."""
    values = dict(content)
    values["phase"] = Phase(values["phase"])
    values["progress"] = _progress(values["progress"]) if values["progress"] else None
    return Event(**values)


def _progress(values: Mapping[str, Any]) -> Progress:
    return Progress(**{**values, "phase": Phase(values["phase"])})
