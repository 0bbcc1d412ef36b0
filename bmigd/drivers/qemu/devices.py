"""The devices that a QEMU guest may have: those whose state is known to move. Pure.

Anything else is refused: what QEMU calls migratable is not what was tried, and vhost, vhost-user
and passed-through devices write guest memory from outside QEMU, where nobody sees it.
"""

from bmigd.guests.definition import Definition, Device

# Our name of each: QEMU's.
MODELS = {
    "virtio-blk": "virtio-blk-pci",
    "virtio-net": "virtio-net-pci",
    "e1000": "e1000",
    "vga": "VGA",
    "virtio-rng": "virtio-rng-pci",
    "virtio-balloon": "virtio-balloon-pci",
}
DISK = "virtio-blk"
CARDS = ("virtio-net", "e1000")
FORMATS = ("raw", "qcow2")
READ_ONLY = "read-only"
DISK_OPTIONS = (*(f"format={one}" for one in FORMATS), READ_ONLY)
# Each kind of machine: its root bus, and the slots that its chipset has.
MACHINES = {"pc-q35": ("pcie.0", (0, 31)), "pc-i440fx": ("pci.0", (0, 1))}
SLOTS = 32


def kind_of(machine: str) -> str:
    """A machine without its version."""
    return machine.rpartition("-")[0]


def bus_of(machine: str) -> str:
    """The bus that every device is on."""
    return MACHINES[kind_of(machine)][0]


def format_of(device: Device) -> str:
    """A disk's format; never guessed from its content, which the guest writes."""
    found = [one for one in FORMATS if f"format={one}" in device.options]
    return found[0] if found else "raw"


def is_read_only(device: Device) -> bool:
    """Whether the guest may only read the disk."""
    return READ_ONLY in device.options


def unseen(definition: Definition) -> str:
    """What of the guest changes memory without a write of QEMU's, in words; "" for nothing."""
    names = {device.emulation for device in definition.devices}
    return "its balloon gives memory back to the host" if "virtio-balloon" in names else ""


def objections(definition: Definition) -> list[str]:
    """Why the machine could not be built, or not be moved."""
    machine = definition.machine or ""
    if kind_of(machine) not in MACHINES:
        kinds = " or ".join(f"{kind}-VERSION" for kind in MACHINES)
        return [f"machine must be {kinds} (like pc-q35-7.2), it is {machine or 'not given'}"]
    taken = MACHINES[kind_of(machine)][1]
    found = []
    for device in definition.devices:
        bus, slot, function = device.address
        if bus or function or slot >= SLOTS or slot in taken:
            used = " and ".join(map(str, taken))
            found.append(
                f"a slot is a number below {SLOTS} other than the machine's {used}"
                f" (slot {device.slot})"
            )
        found += [f"{flaw} (slot {device.slot})" for flaw in _flaws(device)]
    return found


def _flaws(device: Device) -> list[str]:
    """Why a device could not be moved, or would be another one on another host."""
    name = device.emulation
    if name not in MODELS:
        return [f"the QEMU driver does not move {name}; it moves {', '.join(MODELS)}"]
    found = []
    if (name == DISK) != bool(device.storage):
        found.append(f"{DISK} needs a storage and an image, and nothing else has them")
    if (name in CARDS) != bool(device.mac):
        found.append(f"{' and '.join(CARDS)} need a network and a MAC, and nothing else has them")
    known = DISK_OPTIONS if name == DISK else ()
    found += [f"{name} has no option {one}" for one in device.options if one not in known]
    if len(set(device.options)) != len(device.options) or {*DISK_OPTIONS[:2]} <= {*device.options}:
        found.append(f"{name} has two options that say the same")
    return found
