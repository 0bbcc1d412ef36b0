"""What this node is and has, and what of it concerns one guest, gathered for prechecks."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from bmigd import host
from bmigd.announce import Announcer
from bmigd.config import Config
from bmigd.drivers.base import Driver, DriverFacts
from bmigd.errors import Unknown
from bmigd.guests.definition import Definition
from bmigd.guests.store import GuestStore
from bmigd.migration.bandwidth import Bandwidth
from bmigd.migration.claims import Claims
from bmigd.migration.costs import Cost, Costs
from bmigd.migration.elsewhere import Elsewhere
from bmigd.migration.guest_files import GuestFiles
from bmigd.migration.ports import PROTOCOL_VERSIONS
from bmigd.migration.room import Room
from bmigd.prechecks.facts import Facts
from bmigd.security.policy import Policy

COSTS = "switchovers.json"  # in node.state_dir


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
    files: GuestFiles = field(init=False)
    bandwidth: Bandwidth = field(init=False)  # of all memory that leaves
    costs: Costs = field(init=False)  # of guests that left

    def __post_init__(self) -> None:
        self.files = GuestFiles(self.config)
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
            *self.files.objections(definition),
            *self.driver(definition).objections(definition),
        ]

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
            disks=() if denied else await self.files.disks(definition, probe_name),
            firmware=() if denied else await self.files.compared(definition, theirs or {}),
            name_taken_by="" if denied else self._taken_by(definition.name),
            denied=denied,
            silent_networks=tuple(self.announcer.obstacles(definition.networks).items()),
        )

    def _taken_by(self, name: str) -> str:
        if name in self.store.names():
            return "a guest of that name is defined there"
        if held := self.claims.holder(name):
            return f"migration {held} has a guest of that name"
        return ""
