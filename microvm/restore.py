"""What bhyve -r reads: the index, what it promises, and the state that it points at.

Rule: a snapshot that is not whole, or not of this configuration, is refused before
the guest runs, with bhyve's exit status for it.
"""
# pathlib costs 8 ms of the downtime of a guest that is restored
# ruff: noqa: PTH116, PTH123

from __future__ import annotations

import json
import os

from microvm.exits import BAD_DATA, POWEROFF
from microvm.state import KERNEL

_PATH_LIMIT = 250


class RestoreError(Exception):
    """The snapshot cannot be restored; carries bhyve's exit status."""

    def __init__(self, message: str, status: int = POWEROFF) -> None:
        super().__init__(message)
        self.status = status


class Checkpoint:
    """The index of a snapshot, and the blobs."""

    def __init__(self, path: str) -> None:
        if len(path) > _PATH_LIMIT:
            raise RestoreError("Filename exceeds maximum length")
        self.path = path
        try:
            with open(f"{path}.meta", encoding="utf-8") as file:
                meta = json.load(file)
            with open(f"{path}.kern", "rb") as blobs:
                self._blobs = blobs.read()
            os.stat(path)
            basic = meta["basic metadata"]
            self.name = str(basic["vmname"])
            self.cpus = int(basic["ncpus"])
            self.memory_bytes = int(basic["memsize"])
            self._kernel, self._devices = meta["kern_structs"], meta["devices"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RestoreError(
                f"Failed to read checkpoint info from file: '{path}': {error!r}"
            ) from error

    def kernel(self) -> dict[str, bytes]:
        """Every kernel structure; each must be there and have a size."""
        found = self._read(self._kernel)
        for name in KERNEL:
            if not found.get(name):
                message = f"Failed to restore kernel structs: {name} is missing or empty"
                raise RestoreError(message, BAD_DATA)
        return found

    def devices(self) -> dict[str, bytes]:
        """The state of each device, by name."""
        return self._read(self._devices)

    def _read(self, elements: object) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        try:
            for element in elements:  # type: ignore[attr-defined]
                start, size = int(element["file_offset"]), int(element["size"])
                if start < 0 or size < 0 or start + size > len(self._blobs):
                    raise ValueError(f"{element['device']} lies outside of the file")
                found[str(element["device"])] = self._blobs[start : start + size]
        except (ValueError, KeyError, TypeError) as error:
            raise RestoreError(f"Failed to restore from '{self.path}': {error!r}") from error
        return found
