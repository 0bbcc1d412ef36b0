"""A Linux guest that moves between the daemons of a cluster, and everything that is to be right
about it: what it computed, how long it is up, and that its memory was equal on both sides.
"""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from microvm.guest import rom
from tests import needs
from tests.cluster import Cluster, cluster
from tests.daemons import eventually
from tests.linuxguest.machine import CACHE, image
from tests.linuxguest.settings import Settings, require_unbroken, uptimes
from tests.linuxguest.transcript import Transcript, transcript
from tests.netlab import BRIDGE, Lab
from tests.oracle import Verdict, check_heartbeats, params_of, parse_heartbeats

MACHINE = "pc-q35-7.2"
MAC, ADDRESS = "58:9c:fc:00:00:05", "10.9.0.5"
DISK_BYTES = 4 << 20
LONGEST_WITHOUT_A_HEARTBEAT_S = 30.0  # of the guest's own time


@dataclass(frozen=True)
class Build:
    """What the guest has."""

    settings: Settings
    memory: str = "256M"
    processors: int = 1
    disk: str = ""  # its format; empty: none
    more_disks: tuple[str, ...] = ()  # their formats; they are in its directory
    more: tuple[dict[str, Any], ...] = ()  # devices


@dataclass
class LinuxGuest:
    """The guest vm1 of a cluster."""

    world: Cluster
    build: Build
    transcript: Transcript

    def define(self, node: str) -> None:
        """Describe it there and start it."""
        made, guest = image(), self.build
        path = self.world.directory / "vm1.toml"
        path.write_text(
            tomli_w.dumps(
                {
                    "name": "vm1",
                    "driver": "qemu",
                    "machine": MACHINE,
                    "memory": guest.memory,
                    "cpu": {"cores": guest.processors},
                    "firmware": {
                        "kernel": str(made.kernel),
                        "initrd": str(made.initrd),
                        "kernel_arguments": " ".join(guest.settings.words()),
                    },
                    "device": [*self._disk(), *self._card(), *guest.more],
                }
            )
        )
        self.world.ctl("guest", "define", str(path), "--node", node)
        self.world.ctl("guest", "start", "vm1")

    def move(self, destination: str, *options: str) -> dict[str, Any]:
        """Migrate it, and hold the report to what must be: its memory equal on both sides."""
        moved = self.world.migrate("vm1", destination, *options)
        report: dict[str, Any] = moved["report"]
        roots = report["source_memory_root"], report["destination_memory_root"]
        assert roots[0] == roots[1] != "", f"memory roots differ: {roots}"
        return report

    def says(self, words: bytes, timeout_s: float = 120) -> None:
        """Wait until it has printed that."""
        eventually(lambda: words in self.transcript.text, timeout_s, f"{words!r} of the guest")

    def type(self, node: str, line: str) -> None:
        """Type a line where it runs, and wait until it was read; the daemon is not asked."""
        told = self.transcript.text.count(b"RX ")
        with socket.socket(socket.AF_UNIX) as console:
            console.connect(str(self.world.nodes[node].directory / "run/vm1/console"))
            console.sendall(line.encode() + b"\n")
            eventually(lambda: self.transcript.text.count(b"RX ") > told, 60, "the guest's answer")

    def goes_on(self) -> None:
        """Wait until it has printed a heartbeat more."""
        seen = len(parse_heartbeats(self.transcript.text))
        eventually(
            lambda: len(parse_heartbeats(self.transcript.text)) > seen + 1, 120, "a heartbeat"
        )

    def verdict(self) -> Verdict:
        """Everything that it ever printed is right, and it never booted again."""
        work = self.build.settings.work
        assert work, "it has nothing to do"
        text = self.transcript.text
        require_unbroken(uptimes(text), LONGEST_WITHOUT_A_HEARTBEAT_S)
        assert text.count(b"BOOT linux") == 1
        assert b"PANIC" not in text
        return check_heartbeats(params_of(rom.build(work)), parse_heartbeats(text))

    def _disk(self) -> list[dict[str, Any]]:
        first = [(f"vm1.{self.build.disk}", self.build.disk)] if self.build.disk else []
        others = [(f"vm1/{n}.{kind}", kind) for n, kind in enumerate(self.build.more_disks)]
        return [
            self._image(image, kind, str(slot))
            for slot, (image, kind) in zip((4, *range(16, 31)), [*first, *others], strict=False)
        ]

    def _image(self, image: str, kind: str, slot: str) -> dict[str, Any]:
        path = self.world.storage / image
        path.parent.mkdir(exist_ok=True)
        make = (needs.program("qemu-img"), "create", "-q", "-f", kind)
        subprocess.run([*make, path, str(DISK_BYTES)], check=True)
        disk = {"slot": slot, "emulation": "virtio-blk", "storage": "shared", "image": image}
        return {**disk, "options": [f"format={kind}"]}

    def _card(self) -> list[dict[str, Any]]:
        if not self.build.settings.address:
            return []
        return [{"slot": "5", "emulation": "virtio-net", "network": "lan", "mac": MAC}]


def changes(world: Lab | None) -> dict[str, Any]:
    """What a node's configuration has beside the usual, for guests of QEMU."""
    network = {"networks": {"lan": BRIDGE}} if world else {}
    return {
        "node": {"firmware_dirs": [str(CACHE)]},
        "qemu": {"qemu": needs.program("qemu-system-x86_64"), "accel": "tcg"},
        **network,
    }


def logs(world: Cluster) -> list[Path]:
    """Where vm1's console is kept."""
    return [node.directory / "run/vm1/console.log" for node in world.nodes.values()]


@contextmanager
def linux_guest(build: Build, network: Lab | None = None) -> Iterator[LinuxGuest]:
    """The guest on host1 of two hosts, with its first heartbeats; everything is gone afterwards."""
    image()
    with ExitStack() as open_ones:
        places = network.places if network else None
        world = open_ones.enter_context(
            cluster(["host1", "host2"], places=places, **changes(network))
        )
        guest = LinuxGuest(world, build, open_ones.enter_context(transcript(logs(world))))
        guest.define("host1")
        guest.says(b"BOOT")
        if build.settings.work:
            guest.goes_on()
        yield guest
