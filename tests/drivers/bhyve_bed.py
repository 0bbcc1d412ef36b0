"""Nodes with the bhyve driver over the micro-VM."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from bmigd import config
from bmigd.drivers.bhyve import BhyveDriver
from bmigd.guests.definition import MIB, make
from microvm.guest.rom import Program, build
from microvm.install import install
from tests.drivers.bed import PATIENCE_S, Bed, Fault, Node
from tests.oracle import params_of

PROGRAM = Program(rate_mib_per_s=4, set_bytes=MIB, heartbeat_ms=20, has_disk=True, disk_sectors=256)
EAGER = replace(PROGRAM, rate_mib_per_s=4000)  # as fast as it can
DEVICES: list[dict[str, Any]] = [
    {"slot": "0", "emulation": "hostbridge"},
    {"slot": "4", "emulation": "virtio-blk", "storage": "shared", "image": "web1.raw"},
    {"slot": "31", "emulation": "lpc"},
]
FAULTS = {
    Fault.SUSPEND_FAILS: "suspend-fails",
    Fault.SUSPEND_IS_SLOW: "suspend-slow 0.5",
    Fault.SUSPEND_HANGS: "suspend-hangs",
    Fault.DIES_ON_START: "dies-on-start",
    Fault.DIES_ONCE_STARTED: "dies-after-start 0",
    Fault.RESTORE_FAILS: "restore-fails",
}


class BhyveNode(Node):
    """A home of the micro-VM, and the daemon's directories."""

    def __init__(self, bed: "BhyveBed", name: str) -> None:
        super().__init__(bed, name)
        self.home = self.directory / "vm"
        install(self.home)
        self.spool, self.run = self.directory / "spool", self.directory / "run"
        self.spool.mkdir(mode=0o700)
        self.settings: dict[str, Any] = {
            "bhyve": self.home / "bin/bhyve",
            "bhyvectl": self.home / "bin/bhyvectl",
            "vmm_dir": self.home / "vmm",
            "run_dir": self.home / "run",
        }
        self.storage, self.networks = {"shared": bed.storage}, dict[str, str]()
        self.again()

    def again(self, spool: Path | None = None, **settings: Any) -> Self:
        """With a new driver that has other settings of [bhyve]."""
        self.settings |= settings
        node = config.Node(
            name="host",
            state_dir=self.directory / "db",
            spool_dir=spool or self.spool,
            run_dir=self.run,
        )
        self.driver = BhyveDriver(config.Bhyve(**self.settings), node, self.storage, self.networks)
        return self

    def fault(self, *faults: Fault) -> None:
        """Written whole: it is read at any time."""
        self.set_faults(*(FAULTS[fault] for fault in faults))

    def set_faults(self, *lines: str) -> None:
        """By the micro-VM's words."""
        partial = self.home / "faults.partial"
        partial.write_text("".join(f"{line}\n" for line in lines))
        partial.rename(self.home / "faults" / self.bed.definition.name)

    def files(self) -> list[Path]:
        """Spool, supervisors, VM nodes, control sockets, taps."""
        places = (self.spool, self.run, self.home / "vmm", self.home / "run")
        found = [path for place in places for path in place.rglob("*")]
        return found + list((self.directory / "db").rglob("*.json"))


class BhyveBed(Bed):
    """Any number of nodes that share a storage."""

    tells_stillness = True
    hot = (0, MIB, 64 << 10)  # where the program's data begins

    def __init__(self, program: Program = PROGRAM, **changes: Any) -> None:
        super().__init__()
        self.storage = self.directory / "storage"
        self.storage.mkdir()
        rom = self.directory / "rom"
        rom.write_bytes(build(program))
        self.image().write_bytes(bytes(program.disk_sectors * 512))
        self.params = params_of(rom.read_bytes())
        self.definition = make(
            {
                "name": "web1",
                "uuid": "6f1a0f6e-8a2e-4f6c-9c88-000000000001",
                "driver": "bhyve",
                "memory_bytes": 32 * MIB,
                "firmware": {"bootrom": os.fspath(rom)},
                "devices": DEVICES,
                **changes,
            }
        )

    def image(self) -> Path:
        """The guest's disk."""
        return self.storage / "web1.raw"

    def node(self, name: str, patience_s: float = PATIENCE_S) -> BhyveNode:
        """A node with its driver's time limits."""
        node = BhyveNode(self, name)
        return node.again(suspend_timeout_s=patience_s, start_timeout_s=PATIENCE_S)


def wrapped(node: BhyveNode, program: str, lines: str) -> BhyveNode:
    """The node with a script in the place of a program; `$real` is the program."""
    path = node.directory / program
    path.write_text(f'#!/bin/sh\nreal={node.home}/bin/{program}\n{lines}\nexec $real "$@"\n')
    path.chmod(0o700)
    return node.again(**{program: path})
