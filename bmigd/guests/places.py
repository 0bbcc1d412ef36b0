"""What of the host a guest may have: firmware of allowed directories, disks of its name. Pure.

Whoever may define or send a guest `x` gets nothing by it but what belongs to `x`: the hypervisor
opens every path of a description, as root. Who may write into a storage or a firmware directory
decides what its files are: links are followed.
"""

from collections.abc import Iterable
from pathlib import Path

from bmigd.guests.definition import Definition, Device

MEDIA = "media"  # in a storage: CDs for every guest
CD = "ahci-cd"  # only read


def objections(
    definition: Definition, firmware_dirs: Iterable[Path], variables_dirs: Iterable[Path]
) -> list[str]:
    """Why a guest would have what is not its own, in words; empty when it would not."""
    found = [
        f"{path} is in no directory of node.firmware_dirs or node.variables_dirs"
        for path in outside(definition, firmware_dirs, variables_dirs)
    ]
    found += [
        f"image {image} is not {definition.name}.EXTENSION or in {definition.name}/"
        for image in sorted(foreign_images(definition))
    ]
    options = [*definition.options, *(one for d in definition.devices for one in d.options)]
    found += [f"option {option} names a path of the host" for option in options if "/" in option]
    return found


def outside(
    definition: Definition, firmware_dirs: Iterable[Path], variables_dirs: Iterable[Path]
) -> list[str]:
    """Firmware files of a guest that it may not have: those that are read, and variables, which
    are written.
    """
    firmware, variables = definition.firmware, definition.firmware.variables
    found = [path for path in firmware.read_only if not is_below(path, firmware_dirs)]
    if variables and not is_below(variables, variables_dirs):
        found.append(variables)
    return found


def foreign_images(definition: Definition) -> set[str]:
    """Images of a guest that are not its own."""
    return {
        device.image
        for device in definition.devices
        if device.image and not _is_own(device, device.image, definition.name)
    }


def is_below(path: str, directories: Iterable[Path]) -> bool:
    """Whether a path leads into one of the directories, by its words."""
    whole = Path(path)
    return ".." not in whole.parts and any(directory in whole.parents for directory in directories)


def _is_own(device: Device, image: str, name: str) -> bool:
    """No image is two guests': a name has no slash, and an extension no dot."""
    directory, slash, _ = image.partition("/")
    if not slash:
        return image.rpartition(".")[0] == name
    if directory == MEDIA:
        return device.emulation == CD
    return directory == name
