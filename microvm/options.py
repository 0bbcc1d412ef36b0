"""bhyve's command line, as configuration keys.

Rule: options and files are applied in the order given, and the later one wins.
"""

from __future__ import annotations

from microvm.config import NOT_SAVEABLE, SAVEABLE, ConfigError
from microvm.exits import POWEROFF

_WITH_VALUE = "kfopGcsmlKUr"
_FLAGS = {
    "A": ("acpi_tables", "true"),
    "C": ("memory.guest_in_core", "true"),
    "D": ("destroy_on_poweroff", "true"),
    "H": ("x86.vmexit_on_hlt", "true"),
    "I": ("ignored", "true"),
    "P": ("x86.vmexit_on_pause", "true"),
    "S": ("memory.wired", "true"),
    "W": ("virtio_msix", "false"),
    "Y": ("x86.mptable", "false"),
    "a": ("x86.x2apic", "false"),
    "e": ("x86.strictio", "true"),
    "u": ("rtc.use_localtime", "false"),
    "w": ("x86.strictmsr", "false"),
    "x": ("x86.x2apic", "true"),
}
_PLAIN = {"m": "memory.size", "U": "uuid", "K": "keyboard.layout", "G": "gdb.port", "f": "fwcfg"}
_FIRST_VALUE = {"virtio-net": "backend", "e1000": "backend"}

USAGE = """\
Usage: bhyve [-aCDeHhPSuWwxY]
             [-c [[cpus=]numcpus][,sockets=n][,cores=n][,threads=n]]
             [-G port] [-k config_file] [-l lpc] [-m mem] [-o var=value]
             [-p vcpu:hostcpu] [-r file] [-s pci] [-U uuid] vmname
       -a: local apic is in xAPIC mode (deprecated)
       -C: include guest memory in core file
       -c: number of CPUs and/or topology specification
       -D: destroy on power-off
       -h: help
       -k: key=value flat config file
       -K: PS2 keyboard layout
       -l: LPC device configuration
       -m: memory size
       -o: set config 'var' to 'value'
       -r: path to checkpoint file
       -S: guest memory cannot be swapped
       -s: <slot,driver,configinfo> PCI slot config
       -U: UUID
"""


class Usage(Exception):
    """The command line is not one; carries the exit status."""

    def __init__(self, status: int = POWEROFF, text: str = USAGE) -> None:
        super().__init__(text)
        self.status = status


class CommandLine:
    """A command line, read but not yet judged as a configuration."""

    def __init__(self, arguments: list[str]) -> None:
        self.values: dict[str, str] = {}
        self.restore_from: str | None = None
        operands = self._options(list(arguments))
        if len(operands) > 1:
            raise Usage
        if operands:
            self.values["name"] = operands[0]
        if "name" not in self.values and not self.restore_from:
            raise Usage

    def _options(self, left: list[str]) -> list[str]:
        """getopt(3): clustered flags, values attached or next, ends at the first operand."""
        while left and left[0].startswith("-") and left[0] != "-":
            word = left.pop(0)
            if word == "--":
                break
            for at, letter in enumerate(word[1:], start=2):
                if letter in _WITH_VALUE:
                    value = word[at:] or (left.pop(0) if left else None)
                    if value is None:
                        raise Usage
                    self._option(letter, value)
                    break
                self._flag(letter)
        return left

    def _flag(self, letter: str) -> None:
        if letter not in _FLAGS:
            raise Usage(0 if letter == "h" else POWEROFF)
        key, value = _FLAGS[letter]
        self.values[key] = value

    def _option(self, letter: str, value: str) -> None:
        match letter:
            case "r":
                self.restore_from = value
            case "o":
                self._assign(value, f"invalid configuration option '{value}'")
            case "k":
                self._file(value)
            case "c":
                self.values |= _topology(value)
            case "s":
                self.values |= pci_device(value)
            case "l":
                self.values |= _lpc_device(value)
            case "p":
                cpu, _, host = value.partition(":")
                self.values[f"vcpu.{cpu}.cpuset"] = host
            case _:
                self.values[_PLAIN[letter]] = value

    def _assign(self, text: str, complaint: str) -> None:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise ConfigError(complaint)
        self.values[key] = value

    def _file(self, path: str) -> None:
        try:
            with open(path, encoding="utf-8") as file:  # noqa: PTH123 - start-up time
                lines = file.read().splitlines()
        except OSError as error:
            raise ConfigError(f"Failed to open configuration file {path}: {error}") from error
        for line in lines:
            if line and not line.startswith("#"):
                self._assign(line, f"{path}: invalid line '{line}'")


def _topology(text: str) -> dict[str, str]:
    values = {}
    for part in text.split(","):
        key, separator, value = part.partition("=")
        if not separator:
            key, value = "cpus", part
        if key not in ("cpus", "sockets", "cores", "threads", "maxcpus") or not value.isdigit():
            raise ConfigError(f"invalid cpu topology '{text}'", POWEROFF)
        values[key] = value
    return values


def pci_device(text: str) -> dict[str, str]:
    """-s [bus:]slot[:function],emulation[,config]"""
    if text == "help":
        raise Usage(0, "\n".join(sorted(SAVEABLE | NOT_SAVEABLE)) + "\n")
    place, _, rest = text.partition(",")
    emulation, _, settings = rest.partition(",")
    numbers = place.split(":")
    if not emulation or len(numbers) > 3 or not all(n.isdigit() for n in numbers):
        raise ConfigError(f'Invalid PCI slot info field "{text}"')
    bus, slot, function = {1: ["0", *numbers, "0"], 2: ["0", *numbers], 3: numbers}[len(numbers)]
    if int(bus) > 255 or int(slot) > 31 or int(function) > 7:
        raise ConfigError(f'Invalid PCI slot info field "{text}"')
    prefix = f"pci.{int(bus)}.{int(slot)}.{int(function)}"
    values = {f"{prefix}.device": emulation}
    for at, part in enumerate(settings.split(",") if settings else []):
        key, separator, value = part.partition("=")
        if at == 0 and not separator:
            key, value = _FIRST_VALUE.get(emulation, "path"), part
        values[f"{prefix}.{key}"] = value if separator or at == 0 else "true"
    return values


def _lpc_device(text: str) -> dict[str, str]:
    device, _, settings = text.partition(",")
    if device in ("com1", "com2", "com3", "com4"):
        return {f"lpc.{device}.path": settings}
    if device == "bootrom" and settings:
        image, _, variables = settings.partition(",")
        return {"bootrom": image} | ({"bootvars": variables} if variables else {})
    raise ConfigError(f"invalid LPC device configuration '{text}'")
