"""Nodes with the QEMU driver over real QEMUs, which run the micro-VM's program on a PC."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from bmigd import config
from bmigd.drivers.base import IncomingGuest
from bmigd.drivers.qemu import QemuDriver
from bmigd.drivers.qemu.monitor import session
from bmigd.drivers.qemu.taps import LinuxTaps
from bmigd.guests.definition import MIB, make
from bmigd.guests.supervision import Supervision
from microvm.guest.rom import Program
from tests import pcguest, qemu
from tests.drivers.bed import PATIENCE_S, Bed, Fault, Node, copy_changed, eventually, write_state
from tests.oracle import params_of

PROGRAM = Program(rate_mib_per_s=4, set_bytes=MIB, heartbeat_ms=20, has_disk=True, disk_sectors=256)
EAGER = replace(PROGRAM, rate_mib_per_s=4000)  # as fast as it can
DISK: dict[str, Any] = {
    "slot": "4",
    "emulation": "virtio-blk",
    "storage": "shared",
    "image": "web1.raw",
}
FAULTS = {
    Fault.SUSPEND_FAILS: "suspend-fails",
    Fault.SUSPEND_IS_SLOW: "suspend-is-slow",
    Fault.SUSPEND_HANGS: "suspend-hangs",
    Fault.DIES_ON_START: "dies-on-start",
    Fault.DIES_ONCE_STARTED: "dies-once-started",
    Fault.RESTORE_FAILS: "restore-fails",
}
ROOT = Path(__file__).parents[2]


class QemuNode(Node):
    """A QEMU that can be made to fail, and the daemon's directories."""

    def __init__(self, bed: "QemuBed", name: str) -> None:
        super().__init__(bed, name)
        self.spool, self.run = self.directory / "spool", self.directory / "run"
        self.spool.mkdir(mode=0o700, parents=True)
        wrapped = self.directory / "qemu"
        wrapped.write_text(
            f"#!/bin/sh\ncd {ROOT}\nexec {sys.executable} -m tests.drivers.qemu_with_faults"
            f' {self.directory}/faults {qemu.program()} "$@"\n'
        )
        wrapped.chmod(0o700)
        self.settings: dict[str, Any] = {"qemu": wrapped, "accel": "tcg"}
        self.storage = {"shared": bed.storage}
        self.taps = LinuxTaps({}, self.directory / "db/taps")
        self.again()

    def again(self, **settings: Any) -> Self:
        """With a new driver that has other settings of [qemu]."""
        self.settings |= settings
        node = config.Node(
            name="host",
            state_dir=self.directory / "db",
            spool_dir=self.spool,
            run_dir=self.run,
        )
        self.driver = QemuDriver(config.Qemu(**self.settings), node, self.storage, self.taps)
        return self

    def fault(self, *faults: Fault) -> None:
        """Written whole: it is read at any time."""
        partial = self.directory / "faults.partial"
        partial.write_text(" ".join(FAULTS[fault] for fault in faults))
        partial.rename(self.directory / "faults")

    def files(self) -> list[Path]:
        """Spool and supervisors."""
        return [path for place in (self.spool, self.run) for path in place.rglob("*")]


class QemuBed(Bed):
    """Any number of nodes that share a storage."""

    keeps_log = True
    tells_stillness = False
    hot = (0, MIB, 64 << 10)  # where the program's data begins

    def __init__(self, program: Program = PROGRAM, **changes: Any) -> None:
        super().__init__()
        self.storage = self.directory / "storage"
        self.storage.mkdir()
        kernel, rom = pcguest.build(program)
        path = self.directory / "kernel"
        path.write_bytes(kernel)
        self.image().write_bytes(bytes(PROGRAM.disk_sectors * 512))
        self.params = params_of(rom)
        self.definition = make(
            {
                "name": "web1",
                "uuid": "6f1a0f6e-8a2e-4f6c-9c88-000000000001",
                "driver": "qemu",
                "machine": qemu.MACHINE,
                "memory_bytes": 32 * MIB,
                "firmware": {"kernel": os.fspath(path)},
                "devices": [DISK],
                **changes,
            }
        )

    def image(self) -> Path:
        """The guest's disk."""
        return self.storage / "web1.raw"

    def node(self, name: str, patience_s: float = PATIENCE_S) -> QemuNode:
        """A node with its driver's time limits."""
        node = QemuNode(self, name)
        return node.again(suspend_timeout_s=patience_s, start_timeout_s=PATIENCE_S)


async def ask(node: QemuNode, command: str, **arguments: object) -> Any:
    """By hand, on the guest's monitor."""
    async with session(node.run / "web1/qmp") as monitor:
        return await monitor.ask(command, **arguments)


def supervision_of(node: QemuNode) -> Supervision:
    """Of the guest."""
    return Supervision(node.run / "web1")


async def move(node: QemuNode, other: QemuNode) -> IncomingGuest:
    """The whole way, released here at the end."""
    leaving = node.driver.outgoing(node.bed.definition)
    guest = other.driver.incoming(node.bed.definition)
    incoming = await guest.prepare()
    await guest.stand_by()
    (await leaving.open()).close()
    down = await leaving.suspend()
    copy_changed(down.memory, incoming)
    write_state(down, guest)
    down.memory.close()
    incoming.close()
    await guest.check()
    await guest.start()
    await leaving.release()
    await guest.accept()
    return guest


async def kill(node: QemuNode) -> None:
    """The guest's QEMU, and wait for its end to be seen."""
    supervision = supervision_of(node)
    status = await supervision.signal("KILL")

    async def has_ended() -> bool:
        now = await supervision.status()
        return now is not None and not now.is_alive

    assert status.pid
    await eventually(has_ended, "end of QEMU")
