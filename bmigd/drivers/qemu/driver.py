"""QEMU guests on this host: start, stop, leave, come."""

import asyncio
import contextlib
import functools
from collections.abc import Mapping
from pathlib import Path

from bmigd import config as configuration
from bmigd.drivers.base import DriverFacts, Power, Region
from bmigd.drivers.qemu import command
from bmigd.drivers.qemu.incoming import QemuIncoming
from bmigd.drivers.qemu.monitor import MonitorLost, look, session
from bmigd.drivers.qemu.outgoing import HELD, LEFT, QemuOutgoing, Waking
from bmigd.drivers.qemu.programs import probe
from bmigd.drivers.qemu.site import POWERED_OFF, Site, monitor_of, pid_unwatched, regions
from bmigd.drivers.qemu.taps import LinuxTaps
from bmigd.drivers.qemu.unwatched import WORDS
from bmigd.drivers.qemu.vmstate import MAX_BYTES
from bmigd.errors import NotPossible
from bmigd.guests.definition import MIB, Definition
from bmigd.guests.supervision import Supervision, ended_words

OVERHEAD_BYTES = 256 * MIB  # of a QEMU beside its guest's memory
# What a switchover costs beside moving memory: stop, save, load, cont; and both sides' roots over
# the hashes of all pages. Measured with TCG on two cores.
SWITCH_S, HASHED_BYTES_PER_S = 0.04, 3e11
LOOK_S = 2.0
END_IT = "`bmigctl guest stop --force` ends it"


class QemuDriver:
    """The QEMU driver of one node."""

    name = "qemu"

    def __init__(
        self,
        config: configuration.Qemu,
        node: configuration.Node,
        storage: Mapping[str, Path],
        taps: LinuxTaps,
    ) -> None:
        self._config = config
        self._node = node
        self._storage = storage
        self._taps = taps
        self._waking = Waking()
        self._probe = functools.cache(functools.partial(probe, config))

    async def facts(self) -> DriverFacts:
        """What it is and can."""
        return (await asyncio.to_thread(self._probe)).facts

    def objections(self, definition: Definition) -> list[str]:
        """Why it could not run or not move this guest."""
        found = command.objections(definition, self._storage)
        if flaw := self._supervision(definition.name).path_flaw():
            found.append(flaw)
        return found

    def fixed_downtime_s(self, memory_bytes: int, filled_bytes: int) -> float:
        """Device state and roots; a look at memory is part of every round, the last one too."""
        return SWITCH_S + memory_bytes / HASHED_BYTES_PER_S

    def hidden_s(self, memory_bytes: int) -> float:
        """None: QEMU saves its devices sooner than a pass could begin."""
        return 0.0

    def room(self, definition: Definition) -> tuple[int, int]:
        """QEMU's own, and the guest's memory, which is a file in the spool."""
        return OVERHEAD_BYTES, definition.memory_bytes

    def kept_bytes(self, definition: Definition) -> int:
        """Device state: memory stays where it is."""
        return MAX_BYTES

    def regions(self, definition: Definition) -> tuple[Region, ...]:
        """The file of memory."""
        return regions(definition.memory_bytes)

    async def power(self, name: str) -> Power:
        """What the guest's supervisor saw, and QEMU says."""
        status = await self._supervision(name).status()
        if status is None:
            pid = await pid_unwatched(self._supervision(name))
            if not pid:
                return Power(is_running=False)
            return Power(False, failed=f"{WORDS.format(pid=pid)}; {END_IT}", is_unwatched=True)
        if status.state == "exited":
            failed = ended_words("QEMU", status, name)
            is_off = status.exit_status == POWERED_OFF and status.was_ready
            return Power(False, restarts=status.restarts, failed="" if is_off else failed)
        is_running = status.is_alive and status.was_ready and not status.expect_suspend
        monitor = monitor_of(self._supervision(name))
        is_paused = is_running and await look(monitor, LOOK_S) in (HELD, LEFT)
        seen = (status.pid, status.restarts)
        return Power(is_running, *seen, is_paused=is_paused, ran_at_s=status.ran_at_s)

    async def start(self, definition: Definition) -> None:
        """Start a stopped guest from its firmware; one that is held goes on."""
        power = await self.power(definition.name)
        site = self._site(definition)
        if not power.is_running:
            await site.require_no_other()
            await site.start_afresh()
        elif power.is_paused:
            await self.outgoing(definition).let_go_on()

    async def stop(self, definition: Definition, force: bool, timeout_s: float) -> None:
        """Power button, or end it at once."""
        site = self._site(definition)
        if not force:
            await site.require_watched()
        status = await site.supervision.status()
        if status and status.is_alive and status.was_ready and not force:
            try:
                async with asyncio.timeout(timeout_s):
                    with contextlib.suppress(MonitorLost):  # it may be powering off already
                        async with session(site.monitor) as monitor:
                            await monitor.ask("system_powerdown")
                    await site.supervision.ended()
            except TimeoutError as error:
                raise NotPossible(
                    "STOP_TIMEOUT",
                    f"guest {definition.name} did not power off within {timeout_s:g} s",
                    "stop it from inside, or use --force (as if the power failed)",
                    guest=definition.name,
                ) from error
        await site.clear_away()

    def console_directory(self, name: str) -> Path:
        """Directory of the guest's supervisor."""
        return self._node.run_dir / name

    def outgoing(self, definition: Definition) -> QemuOutgoing:
        """The guest as one that may leave."""
        return QemuOutgoing(self._site(definition), self._waking)

    def incoming(self, definition: Definition) -> QemuIncoming:
        """The guest as one that may come."""
        return QemuIncoming(self._site(definition))

    def _site(self, definition: Definition) -> Site:
        return Site(
            definition,
            self._config,
            self._probe,
            self._supervision(definition.name),
            self._taps,
            self._node.spool_dir,
            self._storage,
        )

    def _supervision(self, name: str) -> Supervision:
        return Supervision(self._node.run_dir / name)
