"""Micro-VM guests that benches move between two daemons, and what a move of theirs took."""

import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bench.growth import Growth
from bench.guest import MIB, Lap
from bench.lag import Lag, lag_since
from tests.cluster import Cluster
from tests.daemons import eventually

HOSTS = ("host1", "host2")
IDLE = "idle"  # a daemon with nothing to do, for comparison
BOOT_S = 180.0


@dataclass(frozen=True)
class Trip:
    """One migration, as its report tells, and what it cost the daemons."""

    total_ms: float
    downtime_ms: float
    estimated_downtime_ms: float  # of the last decision
    sent_bytes: int
    wire_bytes: int
    rounds: list[Lap]
    parts_ms: dict[str, float]
    source_growth_mib: float
    destination_growth_mib: float
    source_beside_mib: float  # of the processes that compare pages
    destination_beside_mib: float
    lag: Lag = field(default_factory=dict)  # where the daemons tick

    @property
    def quiet_ms(self) -> float:
        """The shortest round but the first with the guest running; 0 if there was none."""
        found = [one.duration_ms for one in self.rounds[1:] if not one.guest_down]
        return min(found, default=0.0)


def program(
    rate_mib_per_s: float, set_mib: int, fill_mib: int = 0, text_percent: int = 30
) -> tuple[str, ...]:
    """The guest's: no page of what it fills is zero."""
    return (
        *("--rate", f"{rate_mib_per_s:g}", "--working-set", f"{set_mib}M"),
        *("--fill", f"{max(set_mib, fill_mib)}M", "--text", str(text_percent), "--zero", "0"),
        *("--heartbeat-ms", "200"),
    )


class Shuttle:
    """A guest that goes back and forth between host1 and host2."""

    def __init__(self, world: Cluster, name: str, memory: str, rom: tuple[str, ...]) -> None:
        self._world, self._name = world, name
        self.here, self.there = HOSTS
        world.make_guest(name, self.here, memory, *rom)
        eventually(partial(self._has_printed, "HB "), BOOT_S, f"a heartbeat of {name}")

    def move(self, *options: str) -> Trip:
        """To the other host, however long the guest is down for it."""
        eventually(self._may_go, 60, f"room for {self._name}")  # that of the move before is freed
        growths = [Growth(self._pid(one)) for one in (self.here, self.there)]
        began_s = time.monotonic()
        migration = self._world.migrate(
            self._name, self.there, "--on-timeout", "switch-over", *options
        )
        lag = lag_since(began_s, self._world, self.here, self.there)
        source, destination = (one.stop() for one in growths)
        self.here, self.there = self.there, self.here
        require_equal(migration["report"])
        return Trip(
            **figures_of(migration),
            source_growth_mib=source.daemon_bytes / MIB,
            destination_growth_mib=destination.daemon_bytes / MIB,
            source_beside_mib=source.beside_bytes / MIB,
            destination_beside_mib=destination.beside_bytes / MIB,
            lag=lag,
        )

    def _may_go(self) -> bool:
        return self._world.ctl("check", self._name, self.there, check=False).returncode == 0

    def require_right(self) -> None:
        """It runs, if it has nothing to do even, and everything that it ever printed is right."""
        seen = self._world.heartbeats(self._name).count
        eventually(
            lambda: self._world.heartbeats(self._name).count > seen, what=f"a beat of {self._name}"
        )

    def _pid(self, node: str) -> int:
        process = self._world.nodes[node].process
        assert process
        return process.pid

    def _has_printed(self, words: str) -> bool:
        return words in self._world.ctl("guest", "console", "--history", self._name).stdout


def require_equal(report: dict[str, Any]) -> None:
    """Memory was the same on both sides."""
    roots = report["source_memory_root"], report["destination_memory_root"]
    assert roots[0] == roots[1] != "", f"memory roots differ: {roots}"


def figures_of(migration: dict[str, Any]) -> dict[str, Any]:
    """What a migration says of itself, by names of a Trip."""
    report = migration["report"]
    return {
        "total_ms": report["total_us"] / 1e3,
        "downtime_ms": report["downtime_us"] / 1e3,
        "estimated_downtime_ms": migration["progress"]["estimated_downtime_ms"],
        "sent_bytes": report["sent_bytes"],
        "wire_bytes": report["wire_bytes"],
        "rounds": [
            Lap(one["dirty_bytes"], one["wire_bytes"], one["duration_us"] / 1e3, one["guest_down"])
            for one in report["rounds"]
        ],
        "parts_ms": {one["name"]: one["duration_us"] / 1e3 for one in report["downtime_parts"]},
    }
