"""Tap interfaces of bhyve guests, through ifconfig(8).

FreeBSD numbers taps itself. A tap goes down when a bhyve lets it go, and stays in its bridge.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path

from bmigd.drivers import taps
from bmigd.errors import LocalFault


class BhyveTaps(taps.Taps):
    """The taps of bhyve guests on this host."""

    def __init__(self, ifconfig: Path, networks: Mapping[str, str], directory: Path) -> None:
        super().__init__(Ifconfig(ifconfig), networks, directory)


class Ifconfig:
    """Links with the words of ifconfig(8)."""

    def __init__(self, ifconfig: Path) -> None:
        self._ifconfig = str(ifconfig)

    async def create(self, description: str, bridge: str) -> str:
        """Make a tap, described, in the bridge and up."""
        interface = (await self._run("tap", "create")).strip()
        try:
            await self._run(interface, "description", description)
            await self._run(bridge, "addm", interface)
            await self._run(interface, "up")
        except LocalFault:
            with contextlib.suppress(LocalFault):
                await self.destroy(interface)
            raise
        return interface

    async def description(self, interface: str) -> str | None:
        """What it is described as."""
        try:
            shown = await self._run(interface)
        except LocalFault as error:
            if "does not exist" in error.message:  # gone with the host's last run
                return None
            raise
        lines = map(str.strip, shown.splitlines())
        words = (line.removeprefix("description: ") for line in lines if "description: " in line)
        return next(words, "")

    async def attach(self, tap: taps.Tap) -> None:
        """Up; it never left its bridge."""
        await self._run(tap.interface, "up")

    async def destroy(self, interface: str) -> None:
        """Remove it."""
        await self._run(interface, "destroy")

    async def _run(self, *arguments: str) -> str:
        return await taps.run(self._ifconfig, *arguments)
