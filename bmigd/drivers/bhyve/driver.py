"""bhyve guests on this host: start, stop, leave, come."""

import asyncio
import functools
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bmigd import config as configuration
from bmigd.drivers.base import DriverFacts, Power, Region
from bmigd.drivers.bhyve import command
from bmigd.drivers.bhyve.incoming import BhyveIncoming
from bmigd.drivers.bhyve.outgoing import BhyveOutgoing
from bmigd.drivers.bhyve.programs import Programs
from bmigd.drivers.bhyve.site import Site
from bmigd.drivers.bhyve.taps import BhyveTaps
from bmigd.errors import NotPossible
from bmigd.guests.definition import Definition
from bmigd.guests.supervision import SOCKET_PATH_BYTES, Supervision, ended_words

# What a switchover of a guest costs beside moving memory: bhyve writes all of it to a file, and the
# other bhyve reads back what of it is not zero. Of the micro-VM on tmpfs, two cores; where
# it is slower, people are told so after the first time (migration/costs.py).
WRITTEN_BYTES_PER_S, READ_BYTES_PER_S = 2.2e9, 1.6e9
START_S = 0.1
ORPHAN = "it runs, but the process that owned it is gone: stop it with --force and start it again"


class BhyveDriver:
    """The bhyve driver of one node."""

    name = "bhyve"

    def __init__(
        self,
        config: configuration.Bhyve,
        node: configuration.Node,
        storage: Mapping[str, Path],
        networks: Mapping[str, str],
    ) -> None:
        self._programs = Programs(config)
        self._node = node
        self._storage = storage
        self._taps = BhyveTaps(config.ifconfig, networks, node.state_dir / "taps")
        self._probe = functools.cache(self._programs.probe)

    async def facts(self) -> DriverFacts:
        """What it is and can."""

        def look() -> DriverFacts:
            facts, problem = self._probe(), self._programs.missing()  # missing since it was asked
            return replace(facts, problem=problem, can_snapshot=False) if problem else facts

        return await asyncio.to_thread(look)

    def objections(self, definition: Definition) -> list[str]:
        """Why it could not run or not move this guest."""
        found = command.objections(definition, self._storage)
        socket = self._programs.control_socket(definition.name)
        if len(os.fsencode(socket)) > SOCKET_PATH_BYTES:
            found.append(f"the path of its control socket is too long: {socket}")
        if len(os.fsencode(self._site(definition).kept_file)) > command.MAX_SNAPSHOT_PATH:
            found.append("the path of its snapshot is longer than bhyve takes")
        if flaw := self._supervision(definition.name).path_flaw():
            found.append(flaw)
        return found

    def fixed_downtime_s(self, memory_bytes: int, filled_bytes: int) -> float:
        """Writing and reading memory, and a start."""
        return START_S + self.hidden_s(memory_bytes) + filled_bytes / READ_BYTES_PER_S

    def hidden_s(self, memory_bytes: int) -> float:
        """While bhyve writes, memory stands still."""
        return memory_bytes / WRITTEN_BYTES_PER_S

    def room(self, definition: Definition) -> tuple[int, int]:
        """The guest's memory, and the file that it is restored from."""
        return definition.memory_bytes, definition.memory_bytes

    def kept_bytes(self, definition: Definition) -> int:
        """A file of all memory."""
        return definition.memory_bytes

    def regions(self, definition: Definition) -> tuple[Region, ...]:
        """Low and high memory."""
        return command.regions(definition.memory_bytes)

    async def power(self, name: str) -> Power:
        """What the guest's supervisor saw."""
        status = await self._supervision(name).status()
        if status is None:
            is_orphan = await self._programs.answers(name)
            return Power(False, failed=ORPHAN if is_orphan else "", is_unwatched=is_orphan)
        failed = ""
        if status.state == "exited" and status.exit_status not in (0, 1):  # 1: powered off
            failed = ended_words("bhyve", status, name)
        seen = (status.pid, status.restarts, failed)
        return Power(status.is_alive, *seen, ran_at_s=status.ran_at_s)

    async def start(self, definition: Definition) -> None:
        """Start a stopped guest from its firmware."""
        site = self._site(definition)
        status = await site.supervision.status()
        if status and status.is_alive:
            return
        await site.require_no_other()
        await site.clear_away()
        await site.remove_directory(site.kept_file.parent)  # of a time that is over then
        try:
            argv = await site.argv()
            await site.supervision.ensure()
            await site.execute(argv, restart_argv=argv)
        except BaseException:
            await site.clear_network()
            raise

    async def stop(self, definition: Definition, force: bool, timeout_s: float) -> None:
        """Power button, or end it at once."""
        site = self._site(definition)
        status = await site.supervision.status()
        if status and status.is_alive and not force:
            await site.supervision.signal("TERM")
            try:
                async with asyncio.timeout(timeout_s):
                    await site.supervision.ended()
            except TimeoutError as error:
                raise NotPossible(
                    "STOP_TIMEOUT",
                    f"guest {definition.name} did not power off within {timeout_s:g} s",
                    "stop it from inside, or use --force (as if the power failed)",
                    guest=definition.name,
                ) from error
        await site.clear_away()
        await site.remove_directory(site.kept_file.parent)

    def console_directory(self, name: str) -> Path:
        """Directory of the guest's supervisor."""
        return self._node.run_dir / name

    def outgoing(self, definition: Definition) -> BhyveOutgoing:
        """The guest as one that may leave."""
        return BhyveOutgoing(self._site(definition))

    def incoming(self, definition: Definition) -> BhyveIncoming:
        """The guest as one that may come."""
        return BhyveIncoming(self._site(definition))

    def _supervision(self, name: str) -> Supervision:
        return Supervision(self._node.run_dir / name)

    def _site(self, definition: Definition) -> Site:
        return Site(
            definition,
            self._programs,
            self._supervision(definition.name),
            self._taps,
            self._node.spool_dir,
            self._storage,
        )
