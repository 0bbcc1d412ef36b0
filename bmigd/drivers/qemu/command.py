"""QEMU's command line for a guest. Pure.

The same line must come out on both ends but for paths, taps and how images are cached: QEMU finds
the state of a device by its name, bus and slot. Rules that must not break:
- Memory is one shared mapping of a named file; otherwise QEMU would send it with device state.
- Images are locked. That is the last guard against two guests on one disk.
- QEMU never starts the guest by itself (-S): who may run it is decided above.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bmigd.drivers.qemu import devices
from bmigd.guests.definition import MIB, Definition, Device

MEMORY_ID = "ram0"
PROCESSORS = {"tcg": "qemu64", "kvm": "host"}
MAX_NAME = 60  # into socket paths of 104 bytes


@dataclass(frozen=True)
class Setting:
    """What of this host goes into the command line."""

    qemu: Path
    accel: str
    memory: Path
    monitor: Path
    storage: Mapping[str, Path]
    taps: Mapping[str, str] = field(default_factory=dict)  # by MAC


def qemu_argv(definition: Definition, here: Setting) -> list[str]:
    """The command line that makes the guest, stopped.

    "{console}" stands for the terminal of the first serial port.
    """
    cpu, size_mib = definition.cpu, definition.memory_bytes // MIB
    argv = [str(here.qemu), "-name", f"guest={definition.name}", "-uuid", str(definition.uuid)]
    argv += ["-nodefaults", "-no-user-config", "-display", "none", "-S"]
    argv += ["-machine", f"{definition.machine},memory-backend={MEMORY_ID}"]
    argv += ["-accel", here.accel, "-cpu", PROCESSORS[here.accel], "-m", f"{size_mib}M"]
    argv += ["-object", _memory(here.memory, size_mib)]
    if definition.wired_memory:
        argv += ["-overcommit", "mem-lock=on"]
    argv += [
        "-smp",
        f"{cpu.count},sockets={cpu.sockets},cores={cpu.cores},threads={cpu.threads}",
    ]
    argv += _firmware(definition)
    argv += ["-chardev", f"socket,id=monitor,path={_word(here.monitor)},server=on,wait=off"]
    argv += ["-mon", "chardev=monitor,mode=control"]
    argv += ["-chardev", "serial,id=console,path={console}", "-serial", "chardev:console"]
    for device in sorted(definition.devices, key=lambda d: d.address):
        argv += _device(device, definition.machine or "", here)
    return argv


def receiving(argv: list[str]) -> list[str]:
    """The same command line, waiting for device state."""
    return [*argv, "-incoming", "defer"]


def objections(definition: Definition, storage: Mapping[str, Path]) -> list[str]:
    """Why QEMU could not run or not move this guest."""
    found = devices.objections(definition)
    if len(definition.name) > MAX_NAME:
        found.append(f"its name has {len(definition.name)} characters, {MAX_NAME} are the most")
    missing = sorted({name for name, _ in definition.disks} - set(storage))
    found += [f"storage {name!r} is not configured on this node" for name in missing]
    if definition.firmware.variables:
        found.append("the QEMU driver has no variable store")
    found += [f"option {option} is not known to the QEMU driver" for option in definition.options]
    return found


def _memory(path: Path, size_mib: int) -> str:
    return f"memory-backend-file,id={MEMORY_ID},size={size_mib}M,mem-path={_word(path)},share=on"


def _firmware(definition: Definition) -> list[str]:
    firmware, argv = definition.firmware, list[str]()
    for option, value in (
        ("-bios", firmware.bootrom),
        ("-kernel", firmware.kernel),
        ("-initrd", firmware.initrd),
        ("-append", firmware.kernel_arguments),
    ):
        argv += [option, value] if value else []
    return argv


def _device(device: Device, machine: str, here: Setting) -> list[str]:
    slot = device.address[1]
    place = f"id=dev{slot},bus={devices.bus_of(machine)},addr={slot:#x}"
    argv, tail = list[str](), ""
    if device.storage and device.image:
        image = here.storage[device.storage] / device.image
        argv = _blockdevs(device, image)
        tail = f",drive=disk{slot}"
    if device.mac:
        tap = here.taps[device.mac]
        # vhost would write guest memory from the kernel
        argv = ["-netdev", f"tap,id=net{slot},ifname={tap},script=no,downscript=no,vhost=off"]
        tail = f",netdev=net{slot},mac={device.mac},romfile="  # nothing is booted from the network
    return [*argv, "-device", f"{devices.MODELS[device.emulation]},{place}{tail}"]


def _blockdevs(device: Device, image: Path) -> list[str]:
    """Through the page cache, which QEMU drops when the guest has come: direct I/O would write
    guest memory unseen (docs/adr/0017)."""
    slot, read_only = device.address[1], devices.is_read_only(device)
    file = {
        "driver": "file",
        "node-name": f"file{slot}",
        "filename": str(image),
        "locking": "on",
        "read-only": read_only,
        "cache": {"direct": False},
        "drop-cache": True,
    }
    disk = {
        "driver": devices.format_of(device),
        "node-name": f"disk{slot}",
        "file": f"file{slot}",
        "read-only": read_only,
    }
    return ["-blockdev", json.dumps(file), "-blockdev", json.dumps(disk)]


def _word(path: Path) -> str:
    """A path as part of a comma-separated option."""
    return str(path).replace(",", ",,")
