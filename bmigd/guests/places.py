"""What of the host a guest may have: allowed firmware, disks and variables of its name. Pure.

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
    own = f"{definition.name}.EXTENSION or in {definition.name}/"
    found = [
        f"variable store {path} is not {own} of a directory of node.variables_dirs"
        if path == definition.firmware.variables
        else f"{path} is in no directory of node.firmware_dirs"
        for path in outside(definition, firmware_dirs, variables_dirs)
    ]
    found += [f"image {image} is not {own}" for image in sorted(foreign_images(definition))]
    options = [*definition.options, *(one for d in definition.devices for one in d.options)]
    found += [f"option {option} names a path of the host" for option in options if "/" in option]
    return found


def outside(
    definition: Definition, firmware_dirs: Iterable[Path], variables_dirs: Iterable[Path]
) -> list[str]:
    """Firmware files of a guest that it may not have: those that are read, and variables, which
    are written, so that they are its own like its images.
    """
    firmware, variables = definition.firmware, definition.firmware.variables
    found = [path for path in firmware.read_only if not is_below(path, firmware_dirs)]
    if variables and not any(
        is_below(variables, [directory])
        and _has_name(str(Path(variables).relative_to(directory)), definition.name)
        for directory in variables_dirs
    ):
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
    if image.startswith(f"{MEDIA}/"):
        return device.emulation == CD
    return _has_name(image, name)


def _has_name(path: str, name: str) -> bool:
    """No file is two guests': a name has no slash, and an extension no dot."""
    directory, slash, _ = path.partition("/")
    return directory == name if slash else path.rpartition(".")[0] == name
