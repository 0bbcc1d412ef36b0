"""What a snapshot holds besides memory: one blob per kernel structure and device.

Rule 1: names and order are bhyve's; README.md says what is in each blob here.
Rule 2: a device that bhyve cannot save is refused, never left out.
"""

from __future__ import annotations

import struct

from microvm.config import DISKS, SAVEABLE
from microvm.engine import REGISTERS, VECTORS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from microvm.config import Device, GuestConfig
    from microvm.machine import Machine

KERNEL = ("vhpet", "vm", "vioapic", "vlapic", "vmcx", "vatpit", "vatpic", "vpmtmr", "vrtc")
KEYBOARD = "atkbdc"
_EMPTY = b"MICROVM\0"  # a structure of bhyve's that has no state here
_REGISTERS = struct.Struct(f"<{len(REGISTERS)}Q")


class StateError(Exception):
    """A device cannot be saved, or a blob is not that of this guest."""


def save_kernel(machine: Machine, cpus: int) -> list[tuple[str, bytes]]:
    """The kernel's structures, by name."""
    board = machine.board
    known = {
        "vhpet": struct.pack("<Q", board.clock.now_ns()),
        "vm": struct.pack("<2Q", cpus, machine.node.layout.size),
        "vmcx": _registers(machine),
        "vpmtmr": struct.pack("<Q", board.is_button_pressed),
    }
    return [(name, known.get(name, _EMPTY)) for name in KERNEL]


def load_kernel(machine: Machine, blobs: dict[str, bytes]) -> None:
    """The inverse. StateError if one is not usable."""
    try:
        (guest_ns,) = struct.unpack("<Q", blobs["vhpet"])
        (pressed,) = struct.unpack("<Q", blobs["vpmtmr"])
        values = _REGISTERS.unpack_from(blobs["vmcx"])
        vectors = blobs["vmcx"][_REGISTERS.size :]
    except struct.error as error:
        raise StateError(f"kernel structure of another build: {error}") from error
    if len(vectors) != 16 * len(VECTORS):
        raise StateError(f"vmcx has {len(blobs['vmcx'])} bytes")
    machine.board.clock.set_ns(guest_ns)
    machine.board.is_button_pressed = bool(pressed)
    for register, value in zip(REGISTERS, values, strict=True):
        machine.processor.write(register, value)
    for at, register in enumerate(VECTORS):
        machine.processor.write_vector(register, vectors[16 * at : 16 * at + 16])


def _registers(machine: Machine) -> bytes:
    values = [machine.processor.read(register) for register in REGISTERS]
    return _REGISTERS.pack(*values) + b"".join(map(machine.processor.read_vector, VECTORS))


def save_devices(machine: Machine, config: GuestConfig) -> list[tuple[str, bytes]]:
    """The state of each device, by name. StateError for one that has none."""
    blobs = []
    for device in config.devices:
        if device.emulation not in SAVEABLE:
            raise StateError(f"Failed to snapshot {device.name}; ret=45: Operation not supported")
        blobs.append((device.name, _device_blob(machine, device, config)))
    return [*blobs, (KEYBOARD, _EMPTY)]


def _device_blob(machine: Machine, device: Device, config: GuestConfig) -> bytes:
    if device.emulation == "lpc":
        return machine.board.serial.save()
    if device.emulation in DISKS and device is config.first_disk():
        return machine.board.disk.save()
    return _EMPTY


def load_devices(machine: Machine, config: GuestConfig, blobs: dict[str, bytes]) -> None:
    """The inverse. StateError if one is not usable."""
    for device in config.devices:
        try:
            _load_device(machine, device, config, blobs[device.name])
        except (KeyError, ValueError, struct.error) as error:
            raise StateError(f"Device {device.name}: no usable state: {error}") from error


def _load_device(machine: Machine, device: Device, config: GuestConfig, blob: bytes) -> None:
    if device.emulation == "lpc":
        machine.board.serial.load(blob)
    elif device.emulation in DISKS and device is config.first_disk():
        machine.board.disk.load(blob)
    elif not blob:
        raise ValueError("zero size")
