"""A micro-VM home for a test, and the guests that it runs as real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from microvm.guest.rom import Program, build
from tests.oracle import Heartbeat, Params, params_of, parse_heartbeats

MIB = 1 << 20
SMALL = Program(rate_mib_per_s=40, set_bytes=2 * MIB, heartbeat_ms=20)
PLATFORM = ("-s", "0,hostbridge", "-s", "31,lpc")


T = TypeVar("T")


def wait_for(found: Callable[[], T | None], what: str, seconds: float = 20) -> T:
    """Poll until there is something other than None and False."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = found()
        if value is not None and value is not False:
            return value
        time.sleep(0.002)
    raise AssertionError(f"no {what} within {seconds} s")


class Guest:
    """One bhyve process and its console file."""

    def __init__(self, host: Host, name: str, process: subprocess.Popen[bytes]) -> None:
        self.host, self.name, self.process = host, name, process

    def console(self) -> bytes:
        path = self.host.console(self.name)
        return path.read_bytes() if path.exists() else b""

    def heartbeats(self) -> list[Heartbeat]:
        return parse_heartbeats(self.console())

    def reach(self, n: int) -> Heartbeat:
        """Wait until the guest has done n operations."""

        def reached() -> Heartbeat | None:
            assert self.process.poll() is None, self.errors()
            beats = self.heartbeats()
            return beats[-1] if beats and beats[-1].n >= n else None

        return wait_for(reached, f"heartbeat with n>={n}")

    def wait_beats(self, count: int) -> None:
        """Wait until the console has that many heartbeats."""
        wait_for(lambda: len(self.heartbeats()) >= count, f"{count} heartbeats")

    def status(self, seconds: float = 20) -> int:
        return self.process.wait(seconds)

    def errors(self) -> str:
        return self.host.errors(self.name).read_text()

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.status()


class Host:
    """One home with its ROM, as a node of a cluster would have it."""

    def __init__(self, home: Path, program: Program = SMALL) -> None:
        self.home = home
        subprocess.run([sys.executable, "-m", "microvm", "install", str(home)], check=True)
        self.rom = home / "rom"
        self.rom.write_bytes(build(program))
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def params(self) -> Params:
        return params_of(self.rom.read_bytes())

    def console(self, name: str) -> Path:
        return self.home / f"{name}.console"

    def errors(self, name: str) -> Path:
        return self.home / f"{name}.stderr"

    def node(self, name: str) -> Path:
        return self.home / "vmm" / name

    def socket(self, name: str) -> Path:
        return self.home / "run" / name

    def command(self, name: str, memory: str = "32M") -> list[str]:
        serial = f"com1,{self.console(name)}"
        return [*PLATFORM, "-m", memory, "-l", f"bootrom,{self.rom}", "-l", serial, name]

    def run(self, *arguments: str, name: str = "g") -> Guest:
        """Start bhyve without waiting for anything."""
        with self.errors(name).open("wb") as errors:
            process = subprocess.Popen([str(self.home / "bin/bhyve"), *arguments], stderr=errors)
        self._processes.append(process)
        return Guest(self, name, process)

    def start(self, *extra: str, name: str = "g", memory: str = "32M") -> Guest:
        """Start a guest and wait until its socket is there."""
        self.socket(name).unlink(missing_ok=True)
        guest = self.run(*extra, *self.command(name, memory), name=name)

        def is_up() -> bool:
            assert guest.process.poll() is None, guest.errors()
            return self.socket(name).exists()

        wait_for(is_up, "control socket")
        return guest

    def control(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.home / "bin/bhyvectl"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=20)

    def suspend(self, guest: Guest, path: Path) -> int:
        assert self.control(f"--vm={guest.name}", f"--suspend={path}").returncode == 0
        return guest.status()

    def fault(self, name: str, *faults: str) -> None:
        command = [sys.executable, "-m", "microvm", "fault", str(self.home), name, *faults]
        subprocess.run(command, check=True, timeout=20)

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def hosts(path: Path, program: Program = SMALL) -> Iterator[Host]:
    host = Host(path, program)
    try:
        yield host
    finally:
        host.close()
