"""What a guest is: the canonical description that travels with it.

Pure. A definition that validates here can be given to a driver: names are safe in paths and
command lines, sizes are bounded, slots are distinct.
"""

import re
import tomllib
from collections.abc import Mapping
from typing import Annotated, Any, Self
from uuid import UUID

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bmigd.complaints import LABEL, LABEL_FORM, complaints
from bmigd.errors import Invalid

MIB = 1 << 20
LEAST_BYTES, MOST_BYTES = 16 * MIB, 1 << 44  # of memory
MAX_DEVICES, MAX_OPTIONS = 64, 32
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}

# The name goes into paths, a socket path of 104 bytes, and command lines.
NAME = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$"
# Values become parts of comma-separated device strings: no commas, no white space, no control.
WORD = r"^[A-Za-z0-9._=:/@+-]{1,200}$"
HOST_PATH = r"^/[A-Za-z0-9._=:/@+-]{1,900}$"
IMAGE_PATH = r"^[A-Za-z0-9_][A-Za-z0-9._/@+-]{0,200}$"
SLOT = r"^([0-9]{1,3}:)?([0-9]{1,2})(:[0-7])?$"
# A type with its version: what an unversioned one means changes with the hypervisor.
MACHINE = r"^[a-z][a-z0-9-]{0,31}-[0-9]{1,3}\.[0-9]{1,3}$"
KERNEL_ARGUMENTS = r"^[\x20-\x7e]{0,1000}$"
MAC = r"^[0-9a-f]{2}(:[0-9a-f]{2}){5}$"
EMULATION, DRIVER = r"^[a-z0-9_-]{1,32}$", r"^[a-z]{1,16}$"
FORMS = {
    NAME: "letters, digits and . _ -, beginning with a letter, digit or _, at most 64",
    LABEL: LABEL_FORM,
    WORD: "letters, digits and . _ = : / @ + -, at most 200",
    HOST_PATH: "an absolute path of letters, digits and . _ = : / @ + -",
    IMAGE_PATH: "a path in the storage, of letters, digits and . _ / @ + -, beginning with a"
    " letter, digit or _",
    SLOT: "a slot, as 4 or 4:0 or 0:4:0",
    MACHINE: "a machine with its version, as pc-q35-7.2",
    KERNEL_ARGUMENTS: "printable ASCII characters, at most 1000",
    MAC: "six pairs of small hexadecimal digits, as 58:9c:fc:00:00:01",
    EMULATION: "small letters, digits and _ -, at most 32",
    DRIVER: "small letters, at most 16",
}
GuestName = Annotated[str, Field(pattern=NAME)]
Label = Annotated[str, Field(pattern=LABEL)]
Word = Annotated[str, Field(pattern=WORD)]
Options = Annotated[tuple[Word, ...], Field(max_length=MAX_OPTIONS)]
HostPath = Annotated[str, Field(pattern=HOST_PATH)]
ImagePath = Annotated[str, Field(pattern=IMAGE_PATH)]
Slot = Annotated[str, Field(pattern=SLOT)]
Machine = Annotated[str, Field(pattern=MACHINE)]
KernelArguments = Annotated[str, Field(pattern=KERNEL_ARGUMENTS)]
Mac = Annotated[str, Field(pattern=MAC)]


class Part(BaseModel):
    """A table of the description: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Cpu(Part):
    """Virtual CPUs as sockets, cores and threads."""

    sockets: int = Field(default=1, ge=1, le=64)
    cores: int = Field(default=1, ge=1, le=128)
    threads: int = Field(default=1, ge=1, le=8)

    @property
    def count(self) -> int:
        """All virtual CPUs."""
        return self.sockets * self.cores * self.threads


class Firmware(Part):
    """What the guest boots from: a boot ROM, a kernel, or what its hypervisor has for it."""

    bootrom: HostPath | None = None
    variables: HostPath | None = None
    kernel: HostPath | None = None
    initrd: HostPath | None = None
    kernel_arguments: KernelArguments = ""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.variables and not self.bootrom:
            raise ValueError("a variable store needs a boot ROM")
        if (self.initrd or self.kernel_arguments) and not self.kernel:
            raise ValueError("an initial file system and kernel arguments need a kernel")
        return self

    @property
    def read_only(self) -> tuple[str, ...]:
        """Files that the guest is only started from."""
        return tuple(path for path in (self.bootrom, self.kernel, self.initrd) if path)

    @property
    def paths(self) -> tuple[str, ...]:
        """Files that must be the same on every host."""
        return (*self.read_only, self.variables) if self.variables else self.read_only


class Device(Part):
    """One device; a disk has storage and image, a network card network and mac."""

    slot: Slot
    emulation: Annotated[str, Field(pattern=EMULATION)]
    storage: Label | None = None
    image: ImagePath | None = None
    network: Label | None = None
    mac: Mac | None = None
    options: Options = ()

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.storage is None) != (self.image is None):
            raise ValueError("a disk needs both storage and image")
        if (self.network is None) != (self.mac is None):
            raise ValueError("a network card needs both network and mac")
        if self.storage and self.network:
            raise ValueError("a device is a disk or a network card, not both")
        if self.image and ".." in self.image.split("/"):
            raise ValueError("an image path must not contain '..'")
        return self

    @property
    def grows(self) -> bool:
        """Whether its image becomes larger as the guest writes."""
        return "format=qcow2" in self.options

    @property
    def address(self) -> tuple[int, int, int]:
        """Bus, slot and function."""
        numbers = [int(part) for part in self.slot.split(":")]
        match len(numbers):
            case 1:
                return 0, numbers[0], 0
            case 2:  # bhyve reads two numbers as slot and function
                return 0, numbers[0], numbers[1]
            case _:
                return numbers[0], numbers[1], numbers[2]


class Definition(Part):
    """A whole guest."""

    name: GuestName
    uuid: UUID
    driver: Annotated[str, Field(pattern=DRIVER)]
    machine: Machine | None = None  # the hypervisor's board, where it has several
    memory_bytes: int
    wired_memory: bool = False
    cpu: Cpu = Cpu()
    firmware: Firmware = Firmware()
    devices: Annotated[tuple[Device, ...], Field(max_length=MAX_DEVICES)]
    options: Options = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not LEAST_BYTES <= self.memory_bytes <= MOST_BYTES:
            raise ValueError("memory must be 16M to 16T")
        if self.memory_bytes % MIB:
            raise ValueError("memory must be a multiple of 1 MiB")
        addresses = [device.address for device in self.devices]
        if len(set(addresses)) != len(addresses):
            raise ValueError("two devices share a slot")
        return self

    @property
    def disks(self) -> tuple[tuple[str, str], ...]:
        """Storage and image of every disk."""
        return tuple((d.storage, d.image) for d in self.devices if d.storage and d.image)

    @property
    def networks(self) -> tuple[str, ...]:
        """Names of the networks that it is on, sorted."""
        return tuple(sorted({d.network for d in self.devices if d.network}))

    @property
    def cards(self) -> tuple[tuple[str, str], ...]:
        """Network and MAC of each network card."""
        return tuple((d.network, d.mac) for d in self.devices if d.network and d.mac)


def make(values: Mapping[str, Any]) -> Definition:
    """A definition from values; Invalid (DEFINITION_INVALID) names every wrong field."""
    try:
        return Definition.model_validate(values)
    except ValidationError as error:
        wrong = complaints(error, "guest", FORMS)
        name = str(values.get("name"))[:64]
        raise Invalid(
            "DEFINITION_INVALID",
            f"the description of guest {name!r} is wrong: {wrong}",
            "correct it and define the guest again",
        ) from error


def parse_toml(text: str) -> Definition:
    """A definition from the text of its file."""
    try:
        values = tomllib.loads(text)
        values["memory_bytes"] = parse_size(str(values.pop("memory", "")))
    except (ValueError, RecursionError) as error:
        raise Invalid("DEFINITION_INVALID", f"not a guest description: {error}") from error
    values["devices"] = values.pop("device", [])
    return make(values)


def render_toml(definition: Definition) -> str:
    """The text of its file; parse_toml is its inverse."""
    values = definition.model_dump(mode="json", exclude_none=True)
    if not values["firmware"]["kernel_arguments"]:
        del values["firmware"]["kernel_arguments"]
    values["memory"] = render_size(values.pop("memory_bytes"))
    devices = values.pop("devices")
    return tomli_w.dumps({**values, "device": devices})


def parse_size(text: str) -> int:
    """Bytes from "256M", "5G", "1024K" or plain bytes."""
    match = re.fullmatch(r"([0-9]{1,15})([KMGT]?)", text.strip().upper())
    if not match:
        raise ValueError(f"not a size: {text!r} (like 256M or 4G)")
    return int(match[1]) * UNITS.get(match[2], 1)


def render_size(size_bytes: int) -> str:
    """The shortest exact text of a size."""
    for unit in ("G", "M", "K"):
        if size_bytes % UNITS[unit] == 0:
            return f"{size_bytes // UNITS[unit]}{unit}"
    return str(size_bytes)
