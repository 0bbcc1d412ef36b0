"""The description of a guest as TOML, as `bmigctl guest define` reads it; pure.

Rule: only the shape is checked here (known keys, right types, readable sizes); whether a
value makes sense is the daemon's to say. An unknown key is an error, never ignored.
"""

import uuid
from collections.abc import Mapping
from typing import Any

from bmig.v1 import guest_pb2

from bmigctl import files, units
from bmigctl.errors import UsageFault

_GUEST = {
    "name": str,
    "uuid": str,
    "driver": str,
    "machine": str,
    "memory": str,
    "wired_memory": bool,
    "cpu": dict,
    "firmware": dict,
    "device": list,
    "options": list,
}
_CPU = {"sockets": int, "cores": int, "threads": int}
_FIRMWARE = {
    "bootrom": str,
    "variables": str,
    "kernel": str,
    "initrd": str,
    "kernel_arguments": str,
}
_DEVICE = {
    "slot": str,
    "emulation": str,
    "storage": str,
    "image": str,
    "network": str,
    "mac": str,
    "options": list,
}
_WORDS = {
    str: "a text",
    bool: "true or false",
    dict: "a table",
    list: "a list",
    int: "a whole number",
}
_UINT32 = 1 << 32


class _ShapeError(Exception):
    """What is wrong, with the key; parse() adds the file."""


def parse(text: str, source: str) -> guest_pb2.GuestDefinition:
    """The description in the text; UsageFault names the key in the source that is wrong.

    The uuid stays empty when the text has none: see with_uuid().
    """
    try:
        return _guest(files.toml(text))
    except (ValueError, _ShapeError) as error:
        raise UsageFault(
            "DEFINITION_INVALID",
            f"{source}: {error}",
            advice="bmigctl guest define --help shows the format",
        ) from error


def with_uuid(
    definition: guest_pb2.GuestDefinition, known: guest_pb2.GuestDefinition | None
) -> guest_pb2.GuestDefinition:
    """The same with a uuid: its own, that of the guest that is defined already, or a new one."""
    complete = guest_pb2.GuestDefinition()
    complete.CopyFrom(definition)
    complete.uuid = definition.uuid or (known.uuid if known else "") or str(uuid.uuid4())
    return complete


def _guest(table: dict[str, Any]) -> guest_pb2.GuestDefinition:
    _check(table, _GUEST, "")
    for key in ("name", "driver", "memory"):
        _require(table, key, "")
    return guest_pb2.GuestDefinition(
        name=table["name"],
        uuid=table.get("uuid", ""),
        driver=table["driver"],
        machine=table.get("machine", ""),
        memory_bytes=_memory(table["memory"]),
        wired_memory=table.get("wired_memory", False),
        cpu=_cpu(table.get("cpu", {})),
        firmware=_firmware(table.get("firmware", {})),
        devices=[_device(entry, n) for n, entry in enumerate(table.get("device", []), 1)],
        options=_options(table, ""),
    )


def _memory(value: str) -> int:
    try:
        count = units.parse_size(value)
    except ValueError as error:
        raise _ShapeError(f"memory: {error}") from None
    if count >= 1 << 64:
        raise _ShapeError(f'memory: "{value}" is too much')
    return count


def _cpu(table: dict[str, Any]) -> guest_pb2.CpuTopology:
    _check(table, _CPU, "cpu.")
    counts = {key: table.get(key, 1) for key in _CPU}
    for key, count in counts.items():
        if not 0 < count < _UINT32:
            raise _ShapeError(f"cpu.{key}: must be at least 1 and below 2**32, is {count}")
    return guest_pb2.CpuTopology(**counts)


def _firmware(table: dict[str, Any]) -> guest_pb2.Firmware:
    _check(table, _FIRMWARE, "firmware.")
    return guest_pb2.Firmware(
        bootrom_path=table.get("bootrom", ""),
        variables_path=table.get("variables", ""),
        kernel_path=table.get("kernel", ""),
        initrd_path=table.get("initrd", ""),
        kernel_arguments=table.get("kernel_arguments", ""),
    )


def _device(table: object, number: int) -> guest_pb2.Device:
    where = f"device {number}: "
    if not isinstance(table, dict):
        raise _ShapeError("device: must be tables, each written [[device]]")
    _check(table, _DEVICE, where)
    _require(table, "slot", where)
    _require(table, "emulation", where)
    device = guest_pb2.Device(
        slot=table["slot"], emulation=table["emulation"], options=_options(table, where)
    )
    if _pair(table, "storage", "image", where):
        device.disk.storage, device.disk.image = table["storage"], table["image"]
    if _pair(table, "network", "mac", where):
        device.network_card.network, device.network_card.mac = table["network"], table["mac"]
    return device


def _pair(table: dict[str, Any], one: str, other: str, where: str) -> bool:
    if (one in table) != (other in table):
        missing, given = (other, one) if one in table else (one, other)
        raise _ShapeError(f'{where}"{given}" needs "{missing}" beside it')
    return one in table


def _options(table: dict[str, Any], where: str) -> list[str]:
    options: list[str] = table.get("options", [])
    if not all(isinstance(option, str) for option in options):
        raise _ShapeError(f"{where}options: must be a list of texts")
    return options


def _require(table: dict[str, Any], key: str, where: str) -> None:
    if key not in table:
        raise _ShapeError(f'{where}"{key}" is missing')


def _check(table: dict[str, Any], fields: Mapping[str, type], where: str) -> None:
    for key, value in table.items():
        if key not in fields:
            raise _ShapeError(f'{where}unknown key "{key}" (known: {", ".join(fields)})')
        # type(), not isinstance(): true is not a number here
        if type(value) is not fields[key]:
            raise _ShapeError(f"{where}{key}: must be {_WORDS[fields[key]]}")
