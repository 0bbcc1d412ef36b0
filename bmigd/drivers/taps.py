"""Tap interfaces of guests' network cards: made and bridged before the hypervisor opens them, gone
when the guest is: no switch is to see one MAC in two places.

Which tap belongs to which card is kept in a file per guest, for taps outlive the daemon. They do
not outlive the host, and their names are given out again: so each tap carries its card in its
description, and one that does not is somebody else's and is not touched.
"""

import asyncio
import json
from collections.abc import Awaitable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from bmigd.errors import LocalFault
from bmigd.guests.definition import Definition


@dataclass(frozen=True)
class Tap:
    """A tap of this host, and the bridge that it belongs in."""

    interface: str
    bridge: str


class Links(Protocol):
    """The host's interfaces, with the words of one operating system. LocalFault (TAP_FAILED)."""

    async def create(self, description: str, bridge: str) -> str:
        """Make a tap of that description, in the bridge and up, or none; its name."""

    async def description(self, interface: str) -> str | None:
        """What an interface is described as; None when there is none of that name."""

    async def attach(self, tap: Tap) -> None:
        """In its bridge and up."""

    async def destroy(self, interface: str) -> None:
        """Remove it."""


class Taps:
    """Makes and removes the taps of guests."""

    def __init__(self, links: Links, networks: Mapping[str, str], directory: Path) -> None:
        self._links = links
        self._networks = networks
        self._directory = directory

    async def ensure(self, definition: Definition) -> dict[str, str]:
        """A tap for every network card of the guest, by MAC, up and in its bridge.

        Those that exist are kept, and put back where they belong. On an error what was made is
        noted, for remove().
        """
        name = definition.name
        taps = await self._existing(name)
        for network, mac in definition.cards:
            if tap := taps.get(mac):
                await self._links.attach(tap)
            else:
                await _whole(self._add(name, network, mac, taps))
        return {mac: tap.interface for mac, tap in taps.items()}

    async def remove(self, name: str) -> None:
        """Destroy the guest's taps. Idempotent."""
        for tap in (await self._existing(name)).values():
            await self._links.destroy(tap.interface)
        self._path(name).unlink(missing_ok=True)

    async def _add(self, name: str, network: str, mac: str, taps: dict[str, Tap]) -> None:
        bridge = self._networks.get(network)
        if bridge is None:
            raise LocalFault("NETWORK_MISSING", f"network {network!r} is not configured here")
        made = Tap(await self._links.create(_description(name, mac), bridge), bridge)
        try:
            self._save(name, {**taps, mac: made})
        except OSError as error:
            await self._links.destroy(made.interface)  # nobody would know whose it is
            raise LocalFault(
                "TAP_NOT_NOTED",
                f"cannot write {self._path(name)}: {error}",
                "free space on its disk or mend the disk",
                guest=name,
            ) from error
        taps[mac] = made

    async def _existing(self, name: str) -> dict[str, Tap]:
        """The noted taps that are still this guest's."""
        return {
            mac: tap
            for mac, tap in self._load(name).items()
            if await self._links.description(tap.interface) == _description(name, mac)
        }

    def _load(self, name: str) -> dict[str, Tap]:
        try:
            content = json.loads(self._path(name).read_text(encoding="utf-8"))
            return {str(mac): Tap(**tap) for mac, tap in content.items()}
        except (
            FileNotFoundError,
            ValueError,
            AttributeError,
            TypeError,
        ):  # a crash may have cut it
            return {}

    def _save(self, name: str, taps: Mapping[str, Tap]) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        content = {mac: asdict(tap) for mac, tap in taps.items()}
        partial = self._path(name).with_suffix(".partial")  # a full disk costs no older note
        try:
            partial.write_text(json.dumps(content), encoding="utf-8")
            partial.replace(self._path(name))
        finally:
            partial.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.json"


async def run(*command: str, script: str = "") -> str:
    """The output of a command that changes interfaces; LocalFault (TAP_FAILED) with its words."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE if script else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise LocalFault("TAP_FAILED", f"cannot run {command[0]}: {error}") from error
    output, words = await process.communicate(script.encode() or None)
    if process.returncode:
        shown = " ".join([Path(command[0]).name, *command[1:]])
        raise LocalFault(
            "TAP_FAILED",
            f"{shown}: {words.decode(errors='replace').strip()}",
            "look at the bridge of the network in the node's configuration",
        )
    return output.decode(errors="replace")


def _description(name: str, mac: str) -> str:
    return f"bmig/{name}/{mac}"


async def _whole(work: Awaitable[None]) -> None:
    """Do all of it even when cancelled: a tap that was made must be noted."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
