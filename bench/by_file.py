"""A guest moved as it is without bmig: suspended into files, which are copied over TLS, and
restored from them on the other side. The guest is down from the first moment to the last.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from bench.micro import BOOT_S
from bench.tls import receiving, send_files
from tests.daemons import eventually
from tests.oracle import check_heartbeats, params_of, parse_heartbeats

NAME = "byfile"
PARTS = ("", ".kern", ".meta")  # of a snapshot
LOOK_S = 0.002
PATIENCE_S = 120.0


@dataclass(frozen=True)
class ByFile:
    """One move; the three parts are all of the downtime."""

    downtime_ms: float
    suspend_ms: float
    copy_ms: float
    restore_ms: float


@dataclass(frozen=True)
class Side:
    """A micro-VM home, and where snapshots are."""

    home: Path
    spool: Path
    port: int

    @property
    def snapshot(self) -> Path:
        """The guest's."""
        return self.spool / NAME


class FileGuest:
    """A guest that nobody but this bench looks after."""

    def __init__(self, certs: Path, sides: list[Side], memory: str, rom: Path) -> None:
        self._certs, (self._here, self._there) = certs, sides
        self._memory, self._rom = memory, rom
        self._console = rom.with_suffix(".console")
        self._process = self._run(self._here)
        eventually(self._beats, BOOT_S, "a heartbeat of the guest that is moved by file")

    def move(self) -> ByFile:
        """To the other side; returns when the guest has given a sign of life there."""
        here, there = self._here, self._there
        socket_there = there.home / "run" / NAME
        socket_there.unlink(missing_ok=True)  # of the last time that it was there
        moments = [time.perf_counter()]
        self._suspend(here)
        moments.append(time.perf_counter())
        files = [Path(f"{here.snapshot}{part}") for part in PARTS]
        send_files(self._certs, there.port, files)
        moments.append(time.perf_counter())
        self._process = self._run(there, "-r", str(there.snapshot))
        self._until_ready(socket_there)
        moments.append(time.perf_counter())
        self._here, self._there = there, here
        for side in (here, there):
            for part in PARTS:
                Path(f"{side.snapshot}{part}").unlink()
        seen = self._beats()
        eventually(lambda: self._beats() > seen, 60, "a heartbeat of the guest that was restored")
        parts = [1e3 * (after - before) for before, after in pairwise(moments)]
        return ByFile(sum(parts), *parts)

    def require_right(self) -> None:
        """Everything that it ever printed is right."""
        check_heartbeats(
            params_of(self._rom.read_bytes()), parse_heartbeats(self._console.read_bytes())
        )

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()

    def _suspend(self, side: Side) -> None:
        bhyvectl = str(side.home / "bin/bhyvectl")
        request = [bhyvectl, f"--vm={NAME}", f"--suspend={side.snapshot}"]
        subprocess.run(request, check=True)
        assert self._process.wait(PATIENCE_S) == 0, "the suspend failed"

    def _until_ready(self, socket: Path) -> None:
        """Its control socket appears just before the guest runs."""
        deadline = time.monotonic() + PATIENCE_S
        while not socket.exists():
            assert self._process.poll() is None, "the restore failed"
            assert time.monotonic() < deadline, "the guest was not restored in time"
            time.sleep(LOOK_S)

    def _run(self, side: Side, *restoring: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                *(side.home / "bin/bhyve", "-A", "-H", "-P", "-c", "cpus=2,sockets=1,cores=2"),
                *("-m", self._memory, "-s", "0:0:0,hostbridge", "-s", "0:31:0,lpc"),
                *("-l", f"bootrom,{self._rom}", "-l", f"com1,{self._console}"),
                *restoring,
                NAME,
            ],
            stdin=subprocess.DEVNULL,
        )

    def _beats(self) -> int:
        text = self._console.read_bytes() if self._console.exists() else b""
        return len(parse_heartbeats(text))


@contextmanager
def file_guest(
    directory: Path, certs: Path, memory: str, rom: tuple[str, ...]
) -> Iterator[FileGuest]:
    """The guest, running below a directory; gone afterwards."""
    directory.mkdir()
    path = directory / "guest.rom"
    words = [sys.executable, "-m", "microvm", "rom", str(path), *rom]
    subprocess.run(words, check=True)
    homes = [directory / "home1", directory / "home2"]
    spools = [directory / "spool1", directory / "spool2"]
    for home, spool in zip(homes, spools, strict=True):
        subprocess.run([sys.executable, "-m", "microvm", "install", str(home)], check=True)
        spool.mkdir()
    with receiving(certs, spools[0]) as port1, receiving(certs, spools[1]) as port2:
        sides = [Side(homes[0], spools[0], port1), Side(homes[1], spools[1], port2)]
        made = FileGuest(certs, sides, memory, path)
        try:
            yield made
        finally:
            made.end()
