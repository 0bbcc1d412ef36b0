"""What this node is and has, and what of it concerns one guest, gathered for prechecks."""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from bmigd import host
from bmigd.announce import Announcer
from bmigd.config import Config
from bmigd.drivers.base import Driver, DriverFacts
from bmigd.errors import LocalFault, Unknown
from bmigd.files import sha256_of, size_of
from bmigd.guests import places
from bmigd.guests.definition import Definition
from bmigd.guests.store import GuestStore
from bmigd.migration import probes
from bmigd.migration.bandwidth import Bandwidth
from bmigd.migration.claims import Claims
from bmigd.migration.costs import Cost, Costs
from bmigd.migration.elsewhere import Elsewhere
from bmigd.migration.ports import PROTOCOL_VERSIONS
from bmigd.migration.room import Room
from bmigd.prechecks.facts import DiskFacts, Facts, FileState, FirmwareFacts
from bmigd.security.policy import Policy

FIRMWARE_BYTES = 64 << 20
COSTS = "switchovers.json"  # in node.state_dir
LOOK_S = 5.0  # for files of one guest; a storage that does not answer is not waited for
T = TypeVar("T")


@dataclass
class Node:
    """This node, as its migrations know it."""

    config: Config
    version: str
    certificate_expires_at_s: int
    policy: Policy
    drivers: Mapping[str, Driver]
    store: GuestStore
    claims: Claims
    room: Room
    announcer: Announcer
    elsewhere: Elsewhere
    # Of their own: what hangs in a storage takes no thread from anything else.
    looking: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, "looking"))
    bandwidth: Bandwidth = field(init=False)  # of all memory that leaves
    costs: Costs = field(init=False)  # of guests that left

    def __post_init__(self) -> None:
        self.bandwidth = Bandwidth(self.config.migration.bandwidth_mib_per_s << 20)
        self.costs = Costs(self.config.node.state_dir / COSTS)

    @property
    def name(self) -> str:
        """This node's name."""
        return self.config.node.name

    def driver(self, definition: Definition) -> Driver:
        """The driver of a guest; Unknown (DRIVER_MISSING) if this node does not have it."""
        if definition.driver not in self.drivers:
            raise Unknown(
                "DRIVER_MISSING",
                f"{self.name} has no driver {definition.driver!r}",
                f"configure [{definition.driver}] on {self.name}",
                guest=definition.name,
            )
        return self.drivers[definition.driver]

    def cost(self, definition: Definition, destination: str) -> Cost:
        """What a switchover of a guest to another node costs beside memory."""
        driver = self.driver(definition)
        return self.costs.of(driver, destination, definition.memory_bytes)

    def objections(self, definition: Definition) -> list[str]:
        """Why this node does not take a guest, in words; empty when it does."""
        return [
            *places.objections(definition, *self._firmware_places),
            *self.driver(definition).objections(definition),
        ]

    async def missing(self, definition: Definition) -> list[str]:
        """Files of a guest that are not there; LocalFault (STORAGE_SILENT)."""
        storage = self.config.storage
        disks = [storage[name] / image for name, image in definition.disks if name in storage]
        paths = [*map(Path, definition.firmware.paths), *disks]
        # Path.exists() raises where a storage is ill.
        return await self.look(lambda: [str(one) for one in paths if not os.path.exists(one)])  # noqa: PTH110

    async def firmware(self, definition: Definition) -> tuple[tuple[str, str], ...]:
        """Path and SHA-256 of each firmware file that is here, to be compared by another node."""

        def hashed() -> tuple[tuple[str, str], ...]:
            outside = places.outside(definition, *self._firmware_places)
            paths = [path for path in definition.firmware.paths if path not in outside]
            return tuple((path, sha256_of(Path(path), FIRMWARE_BYTES)) for path in paths)

        return await self.look(hashed)

    async def facts(
        self,
        definition: Definition,
        probe_name: str,
        denied: str,
        theirs: Mapping[str, str] | None = None,
    ) -> Facts:
        """This node, as far as one guest is concerned; `theirs` are the source's firmware files."""
        driver = self.drivers.get(definition.driver)
        driver_facts = await driver.facts() if driver else DriverFacts(name="")
        memory, spool = await asyncio.to_thread(self.room.available)
        return Facts(
            name=self.name,
            protocol_versions=PROTOCOL_VERSIONS,
            version=self.version,
            clock_ms=time.time_ns() // 1_000_000,
            certificate_expires_at_s=self.certificate_expires_at_s,
            memory_available_bytes=memory,
            spool_available_bytes=spool,
            spool_in_memory=await asyncio.to_thread(lambda: self.room.in_memory),
            cpu=await asyncio.to_thread(host.cpu),
            driver=driver_facts,
            networks=tuple(sorted(self.config.networks)),
            # Who is denied learns nothing of our files and guests.
            disks=() if denied else await self.look(lambda: self._disks(definition, probe_name)),
            firmware=() if denied else await self._compared(definition, theirs or {}),
            name_taken_by="" if denied else self._taken_by(definition.name),
            denied=denied,
            silent_networks=tuple(self.announcer.obstacles(definition.networks).items()),
        )

    async def look(self, function: Callable[[], T]) -> T:
        """Do something with files of a guest; LocalFault (STORAGE_SILENT) if it takes too long."""
        try:
            async with asyncio.timeout(LOOK_S):
                return await asyncio.get_running_loop().run_in_executor(self.looking, function)
        except TimeoutError as error:
            raise LocalFault(
                "STORAGE_SILENT",
                f"files of {self.name} could not be read within {LOOK_S:g} s",
                f"see that every storage of {self.name} answers",
            ) from error

    async def _compared(
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

    @property
    def _firmware_places(self) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
        return self.config.node.firmware_dirs, self.config.node.variables_dirs

    def write_probes(self, definition: Definition, probe_name: str) -> None:
        """Leave a file in every storage of a guest for the destination to find; OSError."""
        for storage in {storage for storage, _ in definition.disks}:
            directory = self.config.storage.get(storage)
            if directory:
                probes.leave(directory, probe_name)

    def remove_probes(self, definition: Definition, probe_name: str) -> None:
        """Take the probes away."""
        for storage in {storage for storage, _ in definition.disks}:
            directory = self.config.storage.get(storage)
            if directory:
                probes.remove(directory, probe_name)

    def _disks(self, definition: Definition, probe_name: str) -> tuple[DiskFacts, ...]:
        foreign = places.foreign_images(definition)  # nothing is told of another's
        return tuple(
            self._disk(storage, image, probe_name)
            for storage, image in definition.disks
            if image not in foreign
        )

    def _disk(self, storage: str, image: str, probe_name: str) -> DiskFacts:
        directory = self.config.storage.get(storage)
        if directory is None:
            return DiskFacts(storage, image, 0)
        seen = probes.seen(directory, probe_name)
        return DiskFacts(storage, image, size_of(directory / image), seen)

    def _taken_by(self, name: str) -> str:
        if name in self.store.names():
            return "a guest of that name is defined there"
        if held := self.claims.holder(name):
            return f"migration {held} has a guest of that name"
        return ""
