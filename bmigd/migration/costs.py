"""What switchovers came to before, for people who are told how long the next one may take.

A driver's estimate knows neither spools nor disks nor how busy a host is; what guests of about that
size were down for, on their way to the same node, does.

Rule: nothing is decided by it. One host in trouble for a moment would have guests switched over
above their limit, or not at all. So a file that cannot be read or written costs an estimate.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path
from threading import Lock
from typing import Annotated, NamedTuple

import structlog
from pydantic import Field, TypeAdapter

from bmigd import durable
from bmigd.drivers.base import Driver

log = structlog.get_logger()

LAST = 3  # so many count: with one in trouble among them, the others say what is usual
KEPT = 16  # of all sizes, to each node
ALIKE = 2  # a guest of up to so many times the memory, or of so small a part of it
LEAST, MOST = 0.25, 64.0  # times the driver's estimate
Times = Annotated[float, Field(ge=LEAST, le=MOST)]
Share = Annotated[float, Field(ge=0, le=1)]


class One(NamedTuple):
    """What one came to."""

    memory_bytes: int
    filled: Share  # of it
    times: Times


Seen = dict[str, list[One]]  # by driver and node
SEEN = TypeAdapter(Seen)


@dataclass
class Cost:
    """Of a guest's switchover to one node, in seconds."""

    driver: Driver
    memory_bytes: int
    usual: One | None  # what it came to of late
    note: Callable[[One], None]
    estimated_s: float = 0.0  # by the driver, when it was asked last
    _filled_bytes: int = 0  # when it was asked last

    def fixed_s(self, filled_bytes: int) -> float:
        """By the driver, with so much that is not zero: what is decided by."""
        self._filled_bytes = filled_bytes
        self.estimated_s = self.driver.fixed_downtime_s(self.memory_bytes, filled_bytes)
        return self.estimated_s

    def told_s(self) -> float:
        """What people are told before it is known what is zero."""
        share = self.usual.filled if self.usual else 1.0
        return self.fixed_s(round(share * self.memory_bytes)) + self.beyond_s

    @property
    def beyond_s(self) -> float:
        """What is to be added to that when people are told; may be below 0."""
        return (self.usual.times - 1) * self.estimated_s if self.usual else 0.0

    def learn(self, took_s: float) -> None:
        """It took so long beside memory transfer. Writes a file."""
        if self.estimated_s:
            times = min(max(LEAST, took_s / self.estimated_s), MOST)
            self.note(One(self.memory_bytes, self._filled_bytes / self.memory_bytes, times))


class Costs:
    """Of what left this node: the last switchovers to each other node."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen = _read(file)
        self._lock = Lock()  # guests that arrive at the same time

    def of(self, driver: Driver, destination: str, memory_bytes: int) -> Cost:
        """What the next one may cost."""
        key = f"{driver.name} to {destination}"
        found = usual(self._seen.get(key, []), memory_bytes)
        return Cost(driver, memory_bytes, found, partial(self._note, key))

    def _note(self, key: str, one: One) -> None:
        with self._lock:
            self._seen[key] = [*self._seen.get(key, []), one][-KEPT:]
            try:
                durable.write(self._file, SEEN.dump_json(self._seen))
            except OSError as error:
                log.warning("switchovers are not noted", file=str(self._file), error=str(error))


def usual(seen: list[One], memory_bytes: int) -> One | None:
    """By times, the median of the last few of guests of about that size; None without any. Pure.

    Of two the lower one: either may have been in trouble. And the driver's estimate counts as one
    more beside them: what a single one took may be chance.
    """
    sizes = range(-(-memory_bytes // ALIKE), ALIKE * memory_bytes + 1)
    last = [one for one in seen if one.memory_bytes in sizes][-LAST:]
    if not last:
        return None
    middle = sorted(last, key=attrgetter("times"))[(len(last) - 1) // 2]
    return middle._replace(times=middle.times ** (len(last) / (len(last) + 1)))


def _read(file: Path) -> Seen:
    try:
        return SEEN.validate_json(file.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.warning("earlier switchovers are not known", file=str(file), error=str(error))
        return {}
