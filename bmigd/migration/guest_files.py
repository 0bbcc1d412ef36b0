"""Files of guests on this node: their disks in storages, firmware, and probes for shared storages.

Each storage is looked at by itself, so that one that hangs does not speak for another.
"""

import contextlib
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from bmigd.config import Config
from bmigd.errors import LocalFault
from bmigd.files import sha256_of, size_of
from bmigd.guests import places
from bmigd.guests.definition import Definition
from bmigd.migration import probes
from bmigd.migration.looking import Looking
from bmigd.prechecks.facts import DiskFacts, FileState, FirmwareFacts

FIRMWARE = "firmware"
FIRMWARE_BYTES = 64 << 20
T = TypeVar("T")


class GuestFiles:
    """Of one node. All that looks at files raises LocalFault (STORAGE_SILENT)."""

    def __init__(self, config: Config) -> None:
        self._storage = config.storage
        self._places = config.node.firmware_dirs, config.node.variables_dirs
        self._looking = Looking(config.node.name)

    def objections(self, definition: Definition) -> list[str]:
        """Why a guest would have what is not its own, in words; looks at no file."""
        return places.objections(definition, *self._places)

    async def missing(self, definition: Definition) -> list[str]:
        """Files of a guest that are not there."""

        def absent(paths: list[Path]) -> list[str]:
            # Path.exists() raises where a storage is ill.
            return [str(path) for path in paths if not os.path.exists(path)]  # noqa: PTH110

        def absent_in(directory: Path, images: list[str]) -> list[str]:
            return absent([directory / image for image in images])

        firmware = partial(absent, [*map(Path, definition.firmware.paths)])
        found = await self._looking.at(FIRMWARE, firmware)
        for some in (await self._in_storages(definition, absent_in)).values():
            found += some
        return found

    async def firmware(self, definition: Definition) -> tuple[tuple[str, str], ...]:
        """Path and SHA-256 of each firmware file that is here, to be compared by another node."""

        def hashed() -> tuple[tuple[str, str], ...]:
            outside = places.outside(definition, *self._places)
            paths = [path for path in definition.firmware.paths if path not in outside]
            return tuple((path, sha256_of(Path(path), FIRMWARE_BYTES)) for path in paths)

        return await self._looking.at(FIRMWARE, hashed)

    async def compared(
        self, definition: Definition, theirs: Mapping[str, str]
    ) -> tuple[FirmwareFacts, ...]:
        """What is told of firmware: whether it is what the source has, never what it is."""
        ours = dict(await self.firmware(definition))

        def state(path: str) -> FileState:
            if path not in ours:
                return FileState.OUTSIDE
            if not ours[path]:
                return FileState.MISSING
            return FileState.SAME if ours[path] == theirs.get(path) else FileState.DIFFERS

        return tuple(FirmwareFacts(path, state(path)) for path in definition.firmware.paths)

    async def disks(self, definition: Definition, probe_name: str) -> tuple[DiskFacts, ...]:
        """What is here of the guest's own disks, in their order, and of probes beside them."""
        foreign = places.foreign_images(definition)  # nothing is told of another's

        def look(directory: Path, images: list[str]) -> tuple[str, dict[str, int]]:
            sizes = {one: size_of(directory / one) for one in images if one not in foreign}
            return probes.seen(directory, probe_name), sizes

        found = await self._in_storages(definition, look)
        nothing = "", dict[str, int]()

        def fact(storage: str, image: str) -> DiskFacts:
            probe, sizes = found.get(storage, nothing)
            return DiskFacts(storage, image, sizes.get(image, 0), probe)

        return tuple(fact(*disk) for disk in definition.disks if disk[1] not in foreign)

    async def leave_probes(self, definition: Definition, probe_name: str) -> None:
        """A file in every storage of a guest for the destination to find; OSError."""
        await self._in_storages(
            definition, lambda directory, _: probes.leave(directory, probe_name)
        )

    async def remove_probes(self, definition: Definition, probe_name: str) -> None:
        """Take the probes away; what cannot be taken away now goes with a later check."""

        def remove(directory: Path, _: list[str]) -> None:
            with contextlib.suppress(OSError):
                probes.remove(directory, probe_name)

        for storage, images in self._images(definition).items():
            with contextlib.suppress(LocalFault):
                await self._at(storage, images, remove)

    async def _in_storages(
        self, definition: Definition, function: Callable[[Path, list[str]], T]
    ) -> dict[str, T]:
        """What it says of each storage that is here, given its directory and the guest's images."""
        return {
            storage: await self._at(storage, images, function)
            for storage, images in self._images(definition).items()
        }

    def _images(self, definition: Definition) -> dict[str, list[str]]:
        """A guest's, by those storages that are here."""
        found: dict[str, list[str]] = {}
        for storage, image in definition.disks:
            if storage in self._storage:
                found.setdefault(storage, []).append(image)
        return found

    async def _at(
        self, storage: str, images: list[str], function: Callable[[Path, list[str]], T]
    ) -> T:
        directory = self._storage[storage]
        return await self._looking.at(f"storage {storage}", lambda: function(directory, images))
