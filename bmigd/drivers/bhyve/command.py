"""bhyve's command line for a guest. Pure.

The same line must come out on both ends but for paths: `bhyve -r` finds a device's state by
emulation and slot, takes the topology from -c, and SMBIOS and MAC addresses from -U and mac=.
"""

from collections.abc import Mapping
from pathlib import Path

from bmigd.drivers.base import Region
from bmigd.guests.definition import MIB, Definition, Device

LOW_LIMIT_BYTES = 3 << 30
HIGH_BASE_BYTES = 4 << 30
# bhyve copies state only for these; any other device fails the checkpoint after the guest was
# stopped, or (before 14) is silently lost.
SAVEABLE = (
    *("hostbridge", "amd_hostbridge", "lpc", "virtio-blk", "virtio-net", "virtio-rnd"),
    *("ahci", "ahci-hd", "ahci-cd", "e1000", "fbuf", "xhci"),
)
CARDS = ("virtio-net", "e1000")
DISKS = ("virtio-blk", "ahci-hd")
# What bhyve opens for these is a path where it stands alone, so nothing else may.
FILES = (*DISKS, "ahci", "ahci-cd")
FILE_FLAGS = ("direct", "nocache", "nodelete", "ro")
# bhyve takes the later of two settings: these are the description's alone.
OWN_DEVICE_KEYS = ("backend", "device", "mac", "path", "type")
OWN_KEYS = (
    *("bootrom", "bootvars", "config.", "cores", "cpus", "destroy_on_poweroff", "gdb", "lpc."),
    *("memory.", "name", "pci.", "rundir", "sockets", "threads", "uuid"),
)
MAX_NAME = 60  # into socket paths of 104 bytes
MAX_SNAPSHOT_PATH = 245  # with ".kern", what `bhyve -r` takes


def regions(memory_bytes: int) -> tuple[Region, ...]:
    """Low memory up to 3 GiB, and the rest from 4 GiB on; in files one after the other."""
    low = min(memory_bytes, LOW_LIMIT_BYTES)
    parts = [Region("low", 0, low)]
    if memory_bytes > low:
        parts.append(Region("high", HIGH_BASE_BYTES, memory_bytes - low))
    return tuple(parts)


def bhyve_argv(
    bhyve: Path, definition: Definition, storage: Mapping[str, Path], taps: Mapping[str, str]
) -> list[str]:
    """The command line that starts the guest.

    `taps` gives the tap interface of each network card, by its MAC; "{console}" stands for the
    terminal of the first serial port.
    """
    cpu, firmware = definition.cpu, definition.firmware
    argv = [str(bhyve), "-A", "-H", "-P", "-U", str(definition.uuid)]
    argv += [
        "-c",
        f"cpus={cpu.count},sockets={cpu.sockets},cores={cpu.cores},threads={cpu.threads}",
    ]
    argv += ["-m", f"{definition.memory_bytes // MIB}M"]
    if definition.wired_memory:
        argv.append("-S")
    for device in sorted(definition.devices, key=lambda d: d.address):
        argv += ["-s", device_argument(device, storage, taps)]
    for option in definition.options:
        argv += ["-o", option]
    argv += ["-l", ",".join(["bootrom", *firmware.paths])]
    argv += ["-l", "com1,{console}"]
    return [*argv, definition.name]


def restoring(argv: list[str], file: Path) -> list[str]:
    """The same command line, restoring from a file."""
    return [*argv[:-1], "-r", str(file), argv[-1]]


def device_argument(device: Device, storage: Mapping[str, Path], taps: Mapping[str, str]) -> str:
    """The value of -s for a device."""
    bus, slot, function = device.address
    parts = [f"{bus}:{slot}:{function}", device.emulation]
    if device.storage and device.image:
        parts.append(str(storage[device.storage] / device.image))
    if device.mac:
        parts += [taps[device.mac], f"mac={device.mac}"]
    return ",".join([*parts, *device.options])


def objections(definition: Definition, storage: Mapping[str, Path]) -> list[str]:
    """Why bhyve could not run or not save this guest."""
    found = []
    if len(definition.name) > MAX_NAME:
        found.append(f"its name has {len(definition.name)} characters, bhyve takes {MAX_NAME}")
    for device in definition.devices:
        if device.storage and device.storage not in storage:
            found.append(f"storage {device.storage!r} is not configured on this node")
        found += [f"{flaw} (slot {device.slot})" for flaw in _device_flaws(device)]
    for option in definition.options:
        if option.split("=")[0].startswith(OWN_KEYS):
            found.append(f"option {option} overrules its description")
    if not definition.firmware.bootrom or definition.firmware.kernel:
        found.append("bhyve boots it from a boot ROM, and from nothing else")
    if definition.machine:
        found.append("bhyve has one machine: leave it out")
    if not any(device.emulation == "lpc" for device in definition.devices):
        found.append("it has no lpc device, which its serial port and boot ROM need")
    return found


def _device_flaws(device: Device) -> list[str]:
    """Why a device could not be saved, or would be another one on another host."""
    found = []
    if device.emulation not in SAVEABLE:
        found.append(f"bhyve cannot save the state of {device.emulation}")
    if device.emulation in CARDS and not device.mac:
        found.append(f"{device.emulation} needs a network and a MAC: bhyve makes up others")
    if device.emulation in DISKS and not device.storage:
        found.append(f"{device.emulation} needs a storage and an image: other nodes look for them")
    for option in device.options:
        if option.partition("=")[0] in OWN_DEVICE_KEYS or option.startswith(("hd:", "cd:")):
            found.append(f"{device.emulation}: option {option} overrules its description")
        elif device.emulation in FILES and not _is_setting(device, option):
            found.append(f"{device.emulation}: option {option} would be a file of the host")
    return found


def _is_setting(device: Device, option: str) -> bool:
    """Whether bhyve takes it for no path: the first word is one, whatever it looks like."""
    if not device.image:
        return device.emulation in DISKS  # which are refused without one
    return "=" in option or option in FILE_FLAGS
