"""One real daemon on this machine: its directory, its process, whatever it leaves.

Processes are awaited by polling for what they do, and ended by their pids.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.netlab import Place

BIN = Path(sys.executable).parent
Command = Callable[[Path], Sequence[str | Path]]  # of a node's directory; without arguments


def eventually(condition: Callable[[], Any], timeout_s: float = 30.0, what: str = "it") -> Any:
    """The condition's first true value; polls, because processes cannot be awaited here."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {timeout_s:g} s")
        time.sleep(0.02)
    return value


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def bmigd(_directory: Path) -> Sequence[str | Path]:
    """What starts a daemon as operators do."""
    return [BIN / "bmigd"]


@dataclass
class Node:
    """One daemon and its directory."""

    name: str
    directory: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    environment: dict[str, str] = field(default_factory=dict)  # beside our own
    place: Place | None = None  # a network namespace
    command: Command = bmigd

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{self.place.address if self.place else '127.0.0.1'}:{self.port}"

    @property
    def config_path(self) -> Path:
        """Its configuration file."""
        return self.directory / "bmigd.toml"

    @property
    def log(self) -> str:
        """What it has logged."""
        return (self.directory / "log").read_text(errors="replace")

    @property
    def home(self) -> Path:
        """Its micro-VM home."""
        return self.directory / "vm"

    def start(self) -> None:
        """Start the daemon and wait until it serves."""
        self.launch()
        self.await_start()

    def await_start(self) -> None:
        """Wait until a daemon that was launched serves."""
        self.starts += 1
        eventually(self._serves, what=f"start of {self.name}")

    def launch(self) -> None:
        """Start the daemon, whatever becomes of it."""
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*within(self.place), *self.command(self.directory), "--config", self.config_path],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **self.environment},
            )

    def _serves(self) -> bool:
        assert self.process
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended: {self.log[-3000:]}")
        return self.log.count('"serving"') >= self.starts

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the daemon; its exit status."""
        assert self.process
        self.process.send_signal(number)
        status = self.process.wait(30)
        self.process = None
        return status


def install(node: Node) -> None:
    """A micro-VM home, and a journal."""
    subprocess.run([sys.executable, "-m", "microvm", "install", node.home], check=True)
    subprocess.run(
        [BIN / "bmigd", "--config", node.config_path, "init"],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def within(place: Place | None) -> tuple[str, ...]:
    """The beginning of a command that runs in a place."""
    return place.within if place else ()


def with_suppressed_kill(pid: int) -> None:
    """Kill a process of ours that may have ended."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def pids_below(directory: Path) -> list[int]:
    """Processes that name a node's directory in their arguments or have files of it mapped."""
    found = []
    needle = str(directory).encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            texts = (entry / "cmdline").read_bytes(), (entry / "maps").read_bytes()
        except OSError:
            continue
        if any(needle in text for text in texts):
            found.append(int(entry.name))
    return found
