"""What a qcow2 image says that matters before QEMU opens it.

QEMU would open whatever an image names as its backing or data file, as root. Only an image that
stands alone is another node's too.
"""

import os
import struct
from pathlib import Path

from bmigd.drivers.qemu import devices
from bmigd.errors import LocalFault
from bmigd.files import beginning_of
from bmigd.guests.definition import Definition

MAGIC = b"QFI\xfb"
HEADER = struct.Struct(">4sIQ56xQ")  # magic, version, backing file's offset, incompatible features
DATA_FILE = 1 << 2


def flaw(header: bytes) -> str:
    """Why a qcow2 image is not taken, by its first bytes; "" when it is. Pure."""
    if len(header) < HEADER.size:
        return "it is no qcow2 image"
    magic, version, backing, incompatible = HEADER.unpack(header[: HEADER.size])
    if magic != MAGIC or version not in (2, 3):
        return "it is no qcow2 image"
    if backing:
        return "it has a backing file"
    if version == 3 and incompatible & DATA_FILE:
        return "it has a data file of its own"
    return ""


def require_usable(definition: Definition, storage: dict[str, Path]) -> None:
    """LocalFault (FILE_MISSING, IMAGE_REFUSED). Opens files of storages: not for the event loop."""
    for device in definition.devices:
        if device.storage and device.image:
            path = storage[device.storage] / device.image
            if not os.access(path, os.R_OK):
                raise LocalFault("FILE_MISSING", f"{path} cannot be read")
            wrong = devices.format_of(device) == "qcow2" and flaw(beginning_of(path, HEADER.size))
            if wrong:
                raise LocalFault("IMAGE_REFUSED", f"{path} is not taken: {wrong}")
