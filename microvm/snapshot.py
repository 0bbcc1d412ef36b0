"""Snapshots on disk: F with the memory, F.kern with the state, F.meta with the index.

Rule 1: written in the order memory, state, index, so that a whole index means a whole
snapshot; nothing is synced and nothing is renamed, as bhyve does it.
Rule 2: the name given is taken relative to the directory given, and to nothing else.
"""

from __future__ import annotations

import os

from microvm import faults, ram, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from microvm.config import GuestConfig
    from microvm.machine import Machine

NAME_LIMIT = 255 - len(".kern")
_FLAGS = os.O_CREAT | os.O_TRUNC | os.O_WRONLY


class SnapshotError(Exception):
    """The snapshot was not made; the guest goes on."""


def save(machine: Machine, config: GuestConfig, directory: int, name: str) -> None:
    """Write the three files of a guest that is held still."""
    if not name or "/" in name or name in (".", ".."):
        raise SnapshotError(f"not a file name: {name!r}")
    if len(name) > NAME_LIMIT:
        raise SnapshotError("Filename exceeds maximum length")
    wanted = faults.read(config.name)
    faults.delay(wanted, "suspend-slow")
    fd = os.open(name, _FLAGS, 0o700, dir_fd=directory)
    try:
        ram.save(machine.node, fd)
        if "short-ram" in wanted:
            os.ftruncate(fd, machine.node.layout.size - 4096)
    finally:
        os.close(fd)
    if "suspend-fails" in wanted:
        raise SnapshotError("Failed to snapshot kernel data.")
    faults.hang(config.name, "suspend-hangs")
    kernel = state.save_kernel(machine, config.cpus)
    devices = state.save_devices(machine, config)
    _write(directory, f"{name}.kern", b"".join(blob for _, blob in kernel + devices))
    meta = _damaged(_meta(config, kernel, devices), wanted)
    _write(directory, f"{name}.meta", meta.encode())


def _write(directory: int, name: str, content: bytes) -> None:
    fd = os.open(name, _FLAGS, 0o700, dir_fd=directory)
    try:
        if os.write(fd, content) != len(content):
            raise SnapshotError(f"{name}: not written in full")
    finally:
        os.close(fd)


def _meta(
    config: GuestConfig, kernel: list[tuple[str, bytes]], devices: list[tuple[str, bytes]]
) -> str:
    """The index as libxo prints it; formatted by hand to keep json out of the downtime."""
    lists, offset = [], 0
    for blobs in (kernel, devices):
        elements = []
        for name, blob in blobs:
            fields = f'"device": "{name}",\n{_I6}"size": {len(blob)},\n{_I6}"file_offset": {offset}'
            elements.append(f"    {{\n{_I6}{fields}\n    }}")
            offset += len(blob)
        lists.append("[\n" + ",\n".join(elements) + "\n  ]")
    basic = (
        f'"ncpus": {config.cpus},\n    "vmname": "{config.name}",\n'
        f'    "memsize": {config.memory_bytes},\n    "memflags": {config.memory_flags}'
    )
    return (
        f'{{\n  "basic metadata": {{\n    {basic}\n  }},\n'
        f'  "kern_structs": {lists[0]},\n  "devices": {lists[1]}\n}}\n'
    )


_I6 = " " * 6


def _damaged(meta: str, wanted: dict[str, str]) -> str:
    if "short-meta" in wanted:
        return meta[: len(meta) // 2]
    return meta.replace(":", ";") if "broken-meta" in wanted else meta
