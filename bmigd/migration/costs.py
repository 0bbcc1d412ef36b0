"""What switchovers cost beside memory: the driver's estimate, by what they came to before.

A driver knows neither spools nor disks nor how busy a host is; what guests that went to the same
node were down for does. Nothing depends on it but when to switch over and what people are told, so
a file that cannot be read or written is one less to learn from.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from threading import Lock

import structlog

from bmigd.drivers.base import Driver

log = structlog.get_logger()

LAST = 3  # so many count: with one in trouble among them, the others say what is usual
LEAST, MOST = 0.25, 16.0  # times the driver's estimate; beyond is trouble, not speed


@dataclass
class Cost:
    """Of a guest's switchover to one node, in seconds."""

    driver: Driver
    factor: float  # times the driver's estimate
    note: Callable[[float], None]  # that it took so many times the estimate
    estimated_s: float = 0.0  # by the driver, when it was asked last

    def fixed_s(self, memory_bytes: int, filled_bytes: int) -> float:
        """Beside memory transfer, of a guest with so much memory of which so much is not zero."""
        self.estimated_s = self.driver.fixed_downtime_s(memory_bytes, filled_bytes)
        return self.factor * self.estimated_s

    def hidden_s(self, memory_bytes: int) -> float:
        """The part of it beside which the last pass runs."""
        return self.factor * self.driver.hidden_s(memory_bytes)

    def learn(self, took_s: float) -> None:
        """It took so long beside memory transfer. Writes a file."""
        if self.estimated_s:
            self.note(took_s / self.estimated_s)


class Costs:
    """Of what left this node: the last few switchovers to each node, in times of the estimate."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen = _read(file)
        self._lock = Lock()  # guests that arrive at the same time

    def of(self, driver: Driver, destination: str) -> Cost:
        """What the next one may cost."""
        key = f"{driver.name} to {destination}"
        seen = self._seen.get(key)
        return Cost(driver, median(seen) if seen else 1.0, partial(self._note, key))

    def _note(self, key: str, times: float) -> None:
        with self._lock:
            self._seen[key] = [*self._seen.get(key, []), _plausible(times)][-LAST:]
            try:
                self._write()
            except OSError as error:
                log.warning("switchovers are not noted", file=str(self._file), error=str(error))

    def _write(self) -> None:
        new = self._file.with_suffix(".new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(self._seen, file)
        new.replace(self._file)


def _read(file: Path) -> dict[str, list[float]]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return {key: [_plausible(float(one)) for one in seen] for key, seen in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        log.warning("earlier switchovers are not known", file=str(file), error=str(error))
        return {}


def _plausible(times: float) -> float:
    return min(max(LEAST, times), MOST)
