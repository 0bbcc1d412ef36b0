"""bhyve's configuration: flat dotted keys, and the guest that they describe.

Rule: nothing here opens a file or looks at the system; what is wrong with a
configuration is found before anything is made for it.
"""

from __future__ import annotations

from microvm import processors
from microvm.exits import FATAL
from microvm.memory import GIB, KIB, MIB, PAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from microvm.processors import Topology

DISKS = ("virtio-blk", "ahci-hd")
_NETWORKS = ("virtio-net", "e1000")
_PLATFORM = ("hostbridge", "amd_hostbridge", "lpc", "virtio-rnd", "fbuf", "xhci", "dummy")
SAVEABLE = frozenset((*DISKS, *_NETWORKS, *_PLATFORM, "ahci", "ahci-cd"))
_VIRTIO = ("virtio-9p", "virtio-scsi", "virtio-console", "virtio-input")
NOT_SAVEABLE = frozenset((*_VIRTIO, "nvme", "passthru", "hda", "uart"))
_NAME_LIMIT = 88  # with the run directory it must fit into a socket address
_INCORE, _WIRED = 0x01, 0x02  # VM_MEM_F_INCORE, VM_MEM_F_WIRED of vmmapi.h
_SUFFIXES = {"K": KIB, "M": MIB, "G": GIB, "T": GIB * KIB}
DEFAULTS = {"memory.size": "256M", "acpi_tables": "false", "x86.strictmsr": "true"}


class ConfigError(Exception):
    """The configuration cannot be run; carries bhyve's exit status for it."""

    def __init__(self, message: str, status: int = FATAL) -> None:
        super().__init__(message)
        self.status = status


class Device:
    """One emulated PCI device."""

    __slots__ = ("emulation", "place", "values")

    def __init__(self, place: tuple[int, int, int], values: dict[str, str]) -> None:
        self.place, self.values = place, values
        self.emulation = values.get("device", "")

    @property
    def name(self) -> str:
        """As it is called in a snapshot."""
        bus, slot, function = self.place
        return f"{self.emulation}@pci.{bus}.{slot}.{function}"


class GuestConfig:
    """What the micro-VM uses of a configuration."""

    def __init__(self, values: dict[str, str]) -> None:
        values = DEFAULTS | values
        self.name = values.get("name", "")
        self.cpus, self.topology = _processors(values)
        self.memory_bytes = memory_size(values["memory.size"])
        self.memory_flags = _memory_flags(values)
        self.bootrom = values.get("bootrom") or values.get("lpc.bootrom")
        self.com1 = values.get("lpc.com1.path")
        self.rundir = values.get("rundir")
        self.is_destroyed_on_poweroff = _truth(values.get("destroy_on_poweroff", "false"))
        self.devices = _devices(values)
        _check_uuid(values.get("uuid"))

    def first_disk(self) -> Device | None:
        """The one that the guest program uses."""
        return next((d for d in self.devices if d.emulation in DISKS), None)


def check_name(name: str) -> None:
    """A name becomes a path and a socket address."""
    allowed = name.replace(".", "").replace("_", "").replace("-", "")
    if not allowed.isalnum() or not name.isascii() or len(name) > _NAME_LIMIT:
        raise ConfigError(f"vm_create: {name!r}: Invalid argument")


def memory_size(text: str) -> int:
    """bhyve's -m: a number below one MiB without a suffix is in MiB."""
    digits, suffix = (text[:-1], text[-1:].upper()) if text[-1:].isalpha() else (text, "")
    if not digits.isdigit() or (suffix and suffix not in _SUFFIXES):
        raise ConfigError(f"invalid memsize '{text}'")
    size = int(digits) * _SUFFIXES.get(suffix, 1)
    if size < MIB:
        size *= MIB
    if size < 16 * MIB or size % PAGE:
        raise ConfigError(f"invalid memsize '{text}'")
    return size


def _number(values: dict[str, str], key: str, default: str = "1") -> int:
    text = values.get(key, default)
    if not text.isdigit() or not int(text):
        raise ConfigError(f"invalid value '{text}' for {key}")
    return int(text)


def _truth(text: str) -> bool:
    return text.lower() in ("true", "yes", "on", "1")


def _memory_flags(values: dict[str, str]) -> int:
    flags = {"memory.guest_in_core": _INCORE, "memory.wired": _WIRED}
    return sum(flag for key, flag in flags.items() if _truth(values.get(key, "false")))


def _processors(values: dict[str, str]) -> tuple[int, Topology]:
    """bhyve's calc_topology: a count that is given must be what the topology makes."""
    given = _number(values, "cpus")
    sockets = _number(values, "sockets", f"{given}")
    cores, threads = _number(values, "cores"), _number(values, "threads")
    count = sockets * cores * threads
    if "cpus" in values and count != given:
        parts = f"{sockets} sockets, {cores} cores, {threads} threads"
        raise ConfigError(f"Topology ({parts}) does not match {given} vCPUs")
    if count > processors.MOST:
        raise ConfigError(f"{count} vCPUs requested but only {processors.MOST} available")
    return count, (sockets, cores, threads)


def _check_uuid(text: str | None) -> None:
    if text is None:
        return
    groups = [len(g) for g in text.split("-")]
    if groups != [8, 4, 4, 4, 12] or set(text.lower()) - set("0123456789abcdef-"):
        raise ConfigError(f"invalid UUID '{text}'")


def _devices(values: dict[str, str]) -> list[Device]:
    """The PCI devices in bus, slot, function order, which is also that of a snapshot."""
    places: dict[tuple[int, int, int], dict[str, str]] = {}
    for key, value in values.items():
        parts = key.split(".", 4)
        if parts[0] != "pci" or len(parts) != 5:
            continue
        if not all(p.isdigit() for p in parts[1:4]):
            raise ConfigError(f"invalid PCI device {key}")
        place = (int(parts[1]), int(parts[2]), int(parts[3]))
        places.setdefault(place, {})[parts[4]] = value
    devices = [Device(place, places[place]) for place in sorted(places)]
    for device in devices:
        if device.emulation not in SAVEABLE | NOT_SAVEABLE:
            slot = ":".join(map(str, device.place))
            raise ConfigError(f'pci slot {slot}: unknown device "{device.emulation}"')
        _check_device(device)
    return devices


def _check_device(device: Device) -> None:
    if device.emulation in DISKS and not device.values.get("path"):
        raise ConfigError(f"{device.name}: no path configured")
    if device.emulation == "virtio-net" and not device.values.get("backend"):
        raise ConfigError(f"{device.name}: no backend configured")
