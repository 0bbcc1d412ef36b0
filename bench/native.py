"""QEMU's own live migration, encrypted, as users would have it without us: `tls` and `multifd`.

Both ends check certificates of one CA; the limit on bandwidth, 128 MiB/s by default, is lifted.
Under TCG this version's live pre-copy loses pages of a busy guest (see README.md), so the source
goes on after every run and each destination is thrown away.
"""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench.guest import PATIENCE_S, WORK_BEATS, Moved
from bench.meter import Meter, interface_bytes
from bmigd.drivers.qemu.command import PROCESSORS
from microvm.guest import rom
from tests import needs
from tests.daemons import eventually, free_port, within
from tests.linuxguest.machine import ask, image
from tests.linuxguest.moving import MACHINE, Build
from tests.netlab import Place
from tests.oracle import WrongHeartbeat, check_heartbeats, params_of, parse_heartbeats

NO_LIMIT = 16 << 30
ANY_DOWNTIME_MS = 60_000
HEALTH_S = 15.0
OVER = ("completed", "failed", "cancelled")


@dataclass(frozen=True)
class Setup:
    """Where QEMUs run, and with which guest."""

    directory: Path
    place: Place | None
    certs: Path
    build: Build


class Qemu:
    """One process with its guest, on memory of its own."""

    def __init__(self, setup: Setup, name: str, endpoint: str, *more: str) -> None:
        self.console, self.monitor = setup.directory / f"{name}.log", setup.directory / name
        self.console.unlink(missing_ok=True)
        guest = image()
        credentials = f"tls-creds-x509,id=tls0,dir={setup.directory},endpoint={endpoint}"
        self.process = subprocess.Popen(
            [
                *within(setup.place),
                *(needs.program("qemu-system-x86_64"), "-nodefaults", "-no-user-config"),
                *("-display", "none", "-machine", MACHINE, "-accel", "tcg"),
                *("-cpu", PROCESSORS["tcg"], "-m", setup.build.memory),
                *("-object", f"{credentials},verify-peer=on"),
                *("-kernel", str(guest.kernel), "-initrd", str(guest.initrd)),
                *("-append", " ".join(setup.build.settings.words())),
                *("-serial", f"file:{self.console}"),
                *("-qmp", f"unix:{self.monitor},server=on,wait=off"),
                *more,
            ],
            stdin=subprocess.DEVNULL,
        )
        eventually(self.monitor.exists, what="QEMU's monitor")

    def ask(self, command: str, **arguments: Any) -> Any:
        """Of its monitor."""
        named = {key.replace("_", "-"): value for key, value in arguments.items()}
        return ask(self.monitor, command, **named)

    def threads(self) -> list[int]:
        """Those that are the guest's processors."""
        return [one["thread-id"] for one in self.ask("query-cpus-fast")]

    def beats(self) -> int:
        """How often its guest gave a sign of life here."""
        return len(parse_heartbeats(self.console.read_bytes())) if self.console.exists() else 0

    def end(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()
        self.monitor.unlink(missing_ok=True)


class Native:
    """A guest that QEMU itself migrates, again and again from the same source."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._source = Qemu(setup, "source", "client")
        eventually(lambda: self._source.beats() >= WORK_BEATS, 180, "a heartbeat of QEMU's guest")

    def hold(self) -> None:
        """The guest stands still."""
        self._source.ask("stop")

    def let_go_on(self) -> None:
        """It runs, and has done so for a moment."""
        seen = self._source.beats()
        self._source.ask("cont")
        eventually(lambda: self._source.beats() >= seen + WORK_BEATS, 60, "a heartbeat")

    def close(self) -> None:
        """End the source."""
        self._source.end()

    def move(self, channels: int, downtime_limit_ms: int) -> Moved:
        """One migration; no channels: `tls` alone, else `multifd` with so many."""
        destination = Qemu(self._setup, "destination", "server", "-incoming", "defer")
        try:
            for end, hostname in ((self._source, "host2"), (destination, "")):
                self._prepare(end, channels, hostname, downtime_limit_ms)
            return self._measured(destination)
        finally:
            destination.end()

    def _prepare(self, end: Qemu, channels: int, hostname: str, downtime_limit_ms: int) -> None:
        multifd = {"capability": "multifd", "state": channels > 0}
        end.ask("migrate-set-capabilities", capabilities=[multifd])
        end.ask(
            "migrate-set-parameters",
            max_bandwidth=NO_LIMIT,
            downtime_limit=downtime_limit_ms,
            tls_creds="tls0",
            tls_hostname=hostname,
            multifd_channels=max(channels, 1),
        )

    def _measured(self, destination: Qemu) -> Moved:
        uri = f"tcp:127.0.0.1:{free_port()}"
        destination.ask("migrate-incoming", uri=uri)
        ends = [psutil.Process(one.process.pid) for one in (self._source, destination)]
        guest = self._source.threads() + destination.threads()
        meters = [Meter([one]) for one in ends]
        before = interface_bytes(ends[0].pid)
        self._source.ask("migrate", uri=uri)
        outcome = self._outcome()
        wire_bytes = interface_bytes(ends[0].pid) - before
        spent_s = [meter.stop([], guest) for meter in meters]
        return Moved(
            total_ms=outcome["total-time"],
            downtime_ms=outcome["downtime"],
            wire_bytes=wire_bytes,
            source_cpu_s=spent_s[0],
            destination_cpu_s=spent_s[1],
            health=self._health(destination),
        )

    def _outcome(self) -> dict[str, Any]:
        """When it is over; from some time on however long the guest is down for it."""
        until, is_forced = time.monotonic() + PATIENCE_S, False
        while True:
            outcome: dict[str, Any] = self._source.ask("query-migrate")
            if outcome["status"] in OVER:
                assert outcome["status"] == "completed", f"QEMU's own migration: {outcome}"
                if outcome["total-time"]:  # it is over a moment before its figures are there
                    return outcome
            if not is_forced and time.monotonic() > until:
                self._source.ask("migrate-set-parameters", downtime_limit=ANY_DOWNTIME_MS)
                is_forced = True
            time.sleep(0.02)

    def _health(self, destination: Qemu) -> str:
        """What became of the guest over there: "well", or what is wrong."""
        try:
            eventually(lambda: destination.beats() >= WORK_BEATS, HEALTH_S, "a heartbeat")
            assert self._setup.build.settings.work
            params = params_of(rom.build(self._setup.build.settings.work))
            check_heartbeats(params, parse_heartbeats(destination.console.read_bytes()))
        except WrongHeartbeat:
            return "its memory is wrong"
        except AssertionError:
            return "it died"
        return "well"


@contextmanager
def native(setup: Setup) -> Iterator[Native]:
    """The guest, running; gone afterwards."""
    for name, pair in (("server", "host2"), ("client", "host1")):
        for kind, suffix in (("cert", "pem"), ("key", "key")):
            source = setup.certs / "nodes" / f"{pair}.{suffix}"
            shutil.copy(source, setup.directory / f"{name}-{kind}.pem")
    shutil.copy(setup.certs / "ca.pem", setup.directory / "ca-cert.pem")
    made = Native(setup)
    try:
        yield made
    finally:
        made.close()
