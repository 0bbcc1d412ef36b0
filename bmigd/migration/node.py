"""What this node is and has, gathered for prechecks, and the room it has promised.

Promises are counted so that two guests are never given the same memory or spool.
"""

import asyncio
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bmigd import host
from bmigd.config import Config
from bmigd.drivers.base import Driver, DriverFacts
from bmigd.errors import Unknown
from bmigd.guests.definition import Definition
from bmigd.guests.store import GuestStore
from bmigd.migration.claims import Claims
from bmigd.migration.ports import PROTOCOL_VERSIONS
from bmigd.prechecks.facts import DiskFacts, Facts
from bmigd.security.policy import Policy

PROBE_PREFIX = ".bmig-probe-"
PROBE_BYTES = 64
FIRMWARE_BYTES = 64 << 20


@dataclass
class Room:
    """Memory and spool of this node, and what of them is promised to guests on their way in."""

    spool_dir: Path
    reserve_bytes: int
    promised: dict[str, tuple[int, int]] = field(default_factory=dict)  # by migration

    def available(self) -> tuple[int, int]:
        """Memory and spool that can still be promised, in bytes."""
        memory = host.memory_bytes()[0] - self.reserve_bytes
        spool = host.room_bytes(self.spool_dir)
        for promised_memory, promised_spool in self.promised.values():
            memory -= promised_memory
            spool -= promised_spool
        return max(0, memory), max(0, spool)


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

    async def facts(self, definition: Definition, probe_name: str, denied: str) -> Facts:
        """This node, as far as one guest is concerned."""
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
            spool_in_memory=await asyncio.to_thread(host.is_in_memory, self.room.spool_dir),
            cpu=await asyncio.to_thread(host.cpu),
            driver=driver_facts,
            networks=tuple(sorted(self.config.networks)),
            # Who is denied learns nothing of our files.
            disks=() if denied else await asyncio.to_thread(self._disks, definition, probe_name),
            firmware=() if denied else await asyncio.to_thread(_firmware, definition),
            name_taken_by=self._taken_by(definition.name),
            denied=denied,
        )

    def write_probes(self, definition: Definition, probe_name: str) -> None:
        """Leave a file in every storage of a guest for the destination to find."""
        for storage in {storage for storage, _ in definition.disks}:
            directory = self.config.storage.get(storage)
            if directory:
                (directory / f"{PROBE_PREFIX}{probe_name}").write_text(probe_name)

    def remove_probes(self, definition: Definition, probe_name: str) -> None:
        """Take the probes away."""
        for storage in {storage for storage, _ in definition.disks}:
            directory = self.config.storage.get(storage)
            if directory:
                (directory / f"{PROBE_PREFIX}{probe_name}").unlink(missing_ok=True)

    def _disks(self, definition: Definition, probe_name: str) -> tuple[DiskFacts, ...]:
        return tuple(self._disk(storage, image, probe_name) for storage, image in definition.disks)

    def _disk(self, storage: str, image: str, probe_name: str) -> DiskFacts:
        directory = self.config.storage.get(storage)
        if directory is None:
            return DiskFacts(storage, image, 0)
        try:
            size_bytes = _size_bytes(directory / image)
        except OSError:
            return DiskFacts(storage, image, 0)
        try:
            with (directory / f"{PROBE_PREFIX}{probe_name}").open(encoding="ascii") as file:
                return DiskFacts(storage, image, size_bytes, file.read(PROBE_BYTES))
        except (OSError, UnicodeDecodeError):
            return DiskFacts(storage, image, size_bytes)

    def _taken_by(self, name: str) -> str:
        if name in self.store.names():
            return "a guest of that name is defined there"
        if held := self.claims.holder(name):
            return f"migration {held} has a guest of that name"
        return ""


def _size_bytes(path: Path) -> int:
    with path.open("rb") as file:  # a disk may be a device, whose size is only found by seeking
        return file.seek(0, 2)


def _firmware(definition: Definition) -> tuple[tuple[str, str], ...]:
    return tuple((path, _sha256(Path(path))) for path in definition.firmware.paths)


def _sha256(path: Path) -> str:
    """Of a firmware file; "" when it is missing or too large to be one."""
    try:
        if path.stat().st_size > FIRMWARE_BYTES:
            return ""
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
