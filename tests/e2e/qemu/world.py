"""Guests of the QEMU driver on a cluster of real daemons."""

import subprocess
from dataclasses import dataclass, field
from typing import Any

import tomli_w

from microvm.guest.rom import Program
from tests import pcguest, qemu
from tests.cluster import Cluster

MIB = 1 << 20
QUIET = Program(
    rate_mib_per_s=5, set_bytes=16 * MIB, heartbeat_ms=50, has_disk=True, disk_sectors=4096
)
CONFIG = {"accel": "tcg", "qemu": str(qemu.program())} if not qemu.missing else {}


@dataclass(frozen=True)
class Machine:
    """A guest as a test wants it."""

    memory: str = "64M"
    machine: str = qemu.MACHINE
    cores: int = 1
    image: str = "raw"
    more: list[dict[str, Any]] = field(default_factory=list)  # devices beside its disk


def make_guest(
    world: Cluster, name: str, node: str, made: Machine | None = None, program: Program = QUIET
) -> None:
    """Build a kernel and a disk, define the guest and start it."""
    made = made or Machine()
    kernel, rom = pcguest.build(program)
    path = world.storage / f"{name}.kernel"
    path.write_bytes(kernel)
    (world.storage / f"{name}.rom").write_bytes(rom)  # what its heartbeats are checked by
    image = f"{name}.{made.image}"
    argv = ["qemu-img", "create", "-q", "-f", made.image, str(world.storage / image), "4M"]
    subprocess.run(argv, check=True)
    disk = {"slot": "4", "emulation": "virtio-blk", "storage": "shared", "image": image}
    definition = {
        "name": name,
        "driver": "qemu",
        "machine": made.machine,
        "memory": made.memory,
        "cpu": {"cores": made.cores},
        "firmware": {"kernel": str(path)},
        "device": [{**disk, "options": [f"format={made.image}"]}, *made.more],
    }
    described = world.directory / f"{name}.toml"
    described.write_text(tomli_w.dumps(definition))
    world.ctl("guest", "define", str(described), "--node", node)
    world.ctl("guest", "start", name)


def finish(world: Cluster, guest: str) -> None:
    """Stop and forget a guest; nothing of it is left on any node."""
    world.ctl("guest", "stop", "--force", guest)
    world.ctl("guest", "undefine", guest)
    world.require_clean(*world.nodes)
