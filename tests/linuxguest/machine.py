"""The guest in a QEMU of our own, without any daemon: for testing the guest itself."""

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import needs
from tests.daemons import eventually
from tests.linuxguest.image import CannotBuild, Image, build
from tests.linuxguest.settings import Settings

CACHE = Path(__file__).parents[2] / ".guest"


def image() -> Image:
    """The guest, built once; what is missing for it skips or fails the test."""
    needs.program("qemu-system-x86_64")
    try:
        return build(CACHE)
    except CannotBuild as reason:
        needs.missing(f"the Linux guest cannot be built: {reason}")


def ask(monitor: Path, name: str, **arguments: Any) -> Any:
    """Give a QEMU's monitor a command; its answer."""
    with socket.socket(socket.AF_UNIX) as link, link.makefile("rwb") as lines:
        link.connect(str(monitor))
        lines.readline()
        for one in ({"execute": "qmp_capabilities"}, {"execute": name, "arguments": arguments}):
            lines.write(json.dumps(one).encode() + b"\n")
            lines.flush()
            while "event" in (answer := json.loads(lines.readline())):
                pass
    return answer["return"]


class Machine:
    """A running QEMU: what its guest printed, and its monitor."""

    def __init__(
        self, directory: Path, settings: Settings, *devices: str, within: str = ""
    ) -> None:
        self._console, self._monitor = directory / "console", directory / "qmp"
        self._input = directory / "input"
        self._typist: socket.socket | None = None
        guest = image()
        arguments = [
            *(["ip", "netns", "exec", within] if within else []),
            *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none"),
            *("-machine", "q35,accel=tcg", "-m", "256", "-no-reboot"),
            *("-kernel", str(guest.kernel), "-initrd", str(guest.initrd)),
            *("-append", " ".join(settings.words())),
            *(
                "-chardev",
                f"socket,id=s,path={self._input},server=on,wait=off,logfile={self._console}",
            ),
            *("-serial", "chardev:s", "-qmp", f"unix:{self._monitor},server=on,wait=off"),
        ]
        self.process = subprocess.Popen([*arguments, *devices], stdin=subprocess.DEVNULL)

    def console(self) -> bytes:
        """All that the guest has printed."""
        return self._console.read_bytes() if self._console.exists() else b""

    def says(self, words: bytes, timeout_s: float = 60) -> None:
        """Wait until the guest has printed that."""
        eventually(lambda: words in self.console(), timeout_s, f"{words!r} on the console")

    def type(self, line: str) -> None:
        """Type a line on the console."""
        if self._typist is None:  # kept: QEMU drops what it had not taken when a writer goes
            self._typist = socket.socket(socket.AF_UNIX)
            self._typist.connect(str(self._input))
        self._typist.sendall(line.encode() + b"\n")

    def command(self, name: str, **arguments: Any) -> Any:
        """Give the monitor a command; its answer."""
        return ask(self._monitor, name, **arguments)

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        if self._typist:
            self._typist.close()


@contextmanager
def machine(
    directory: Path, settings: Settings, *devices: str, within: str = ""
) -> Iterator[Machine]:
    """A booting guest, ended afterwards; `within` names a network namespace."""
    made = Machine(directory, settings, *devices, within=within)
    try:
        yield made
    finally:
        made.close()
