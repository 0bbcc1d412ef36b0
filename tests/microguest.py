"""Guests of the micro-VM as operators define them: a ROM with a program, a disk, a definition."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import tomli_w

DISK_BYTES = 4 << 20
PROGRAM = ("--rate", "5", "--working-set", "16M", "--heartbeat-ms", "50", "--disk")


def make_files(storage: Path, name: str, *program: str) -> Path:
    """Its disk and its ROM; the ROM's path."""
    rom_path = storage / f"{name}.rom"
    command = [sys.executable, "-m", "microvm", "rom", str(rom_path)]
    subprocess.run([*command, *(program or PROGRAM)], check=True)
    with (storage / f"{name}.img").open("wb") as image:
        image.truncate(DISK_BYTES)
    return rom_path


def definition_of(name: str, memory: str, rom_path: Path, mac: str = "") -> dict[str, Any]:
    """With a disk of the shared storage, and with a network card if it has a MAC."""
    image = {"storage": "shared", "image": f"{name}.img"}
    devices = [
        {"slot": "0", "emulation": "hostbridge"},
        {"slot": "4", "emulation": "virtio-blk", **image},
        {"slot": "31", "emulation": "lpc"},
    ]
    if mac:
        devices.append({"slot": "5", "emulation": "virtio-net", "network": "lan", "mac": mac})
    return {
        "name": name,
        "driver": "bhyve",
        "memory": memory,
        "cpu": {"sockets": 1, "cores": 2, "threads": 1},
        "firmware": {"bootrom": str(rom_path)},
        "device": devices,
    }


def describe(
    directory: Path, storage: Path, name: str, memory: str, *rom: str, card: str = ""
) -> tuple[Path, Path]:
    """Its files, and what `bmigctl guest define` takes; paths of its ROM and of that."""
    rom_path = make_files(storage, name, *rom)
    path = directory / f"{name}.toml"
    path.write_text(tomli_w.dumps(definition_of(name, memory, rom_path, card)))
    return rom_path, path
