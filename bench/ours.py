"""Our migrations of the bench's guest: real daemons, mutual TLS, and a way back."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.guest import FULL, PATIENCE_S, Moved
from bench.lag import lag_since
from bench.meter import Meter, interface_bytes, processes_of
from bench.micro import HOSTS, figures_of, require_equal
from tests.linuxguest.machine import ask
from tests.linuxguest.moving import LinuxGuest

CHANGES: dict[str, Any] = {"migration": {"keep_memory_mib": 2 * FULL.memory_mib}}


class Ours:
    """A guest between two daemons; it is on host1 whenever nothing is asked of it."""

    def __init__(self, guest: LinuxGuest) -> None:
        self._guest = guest
        self._here, self._there = HOSTS

    def hold(self) -> None:
        """The guest stands still."""
        ask(self._monitor(self._here), "stop")

    def let_go_on(self) -> None:
        """It runs, and has done so for a moment."""
        ask(self._monitor(self._here), "cont")
        self._guest.goes_on()
        self._guest.goes_on()

    def move(self, tracker: str, downtime_limit_ms: int, *options: str) -> Moved:
        """To host2, which has nothing of the guest."""
        self._forget()
        return self._move(tracker, downtime_limit_ms, *options)

    def move_back(self, tracker: str, downtime_limit_ms: int) -> Moved:
        """To where it came from, which kept its memory."""
        return self._move(tracker, downtime_limit_ms)

    def require_right(self) -> None:
        """Everything that the guest ever printed is right."""
        self._guest.verdict()

    def _move(self, tracker: str, downtime_limit_ms: int, *options: str) -> Moved:
        here, there = self._here, self._there
        meters = [Meter(processes_of(self._directory(one))) for one in (here, there)]
        guest_threads = self._threads(here)
        before = self._interface_bytes()
        began_s = time.monotonic()
        migration = self._guest.world.migrate(
            *("vm1", there, "--tracker", tracker, "--on-timeout", "switch-over"),
            *("--downtime-limit", str(downtime_limit_ms), "--timeout", str(PATIENCE_S)),
            *options,
        )
        lag = lag_since(began_s, self._guest.world, here, there)
        require_equal(migration["report"])
        told = figures_of(migration)
        wire_bytes = self._interface_bytes() - before
        guest_threads += self._threads(there)
        source_s, destination_s = (
            meter.stop(processes_of(self._directory(one)), guest_threads)
            for meter, one in zip(meters, (here, there), strict=True)
        )
        self._here, self._there = there, here
        self._guest.goes_on()
        return Moved(
            total_ms=told["total_ms"],
            downtime_ms=told["downtime_ms"],
            wire_bytes=wire_bytes,
            source_cpu_s=source_s,
            destination_cpu_s=destination_s,
            health="well",
            parts_ms=told["parts_ms"],
            estimated_downtime_ms=told["estimated_downtime_ms"],
            rounds=told["rounds"],
            lag=lag,
        )

    def _forget(self) -> None:
        """Drop what is kept of the guest where it goes."""
        for path in (self._directory(self._there) / "spool/images").glob("*"):
            with suppress(FileNotFoundError):
                path.unlink()

    def _interface_bytes(self) -> int:
        process = self._guest.world.nodes[self._here].process
        assert process
        return interface_bytes(process.pid)

    def _threads(self, node: str) -> list[int]:
        return [one["thread-id"] for one in ask(self._monitor(node), "query-cpus-fast")]

    def _monitor(self, node: str) -> Path:
        return self._directory(node) / "run/vm1/qmp"

    def _directory(self, node: str) -> Path:
        return self._guest.world.nodes[node].directory
