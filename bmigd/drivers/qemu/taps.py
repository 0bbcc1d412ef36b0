"""Tap interfaces of QEMU guests, through ip(8).

They are persistent: made before QEMU opens them, and there until they are removed. A name says
whose it is, so that a tap whose note was lost is found again; its alias says so too, and an
interface of that name with another alias is not touched.
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from bmigd.drivers import taps
from bmigd.errors import LocalFault

PREFIX = "bm"
NAME_BYTES = 6  # in hexadecimal and with the prefix 14 characters, of 15 that Linux takes


class LinuxTaps(taps.Taps):
    """The taps of QEMU guests on this host."""

    def __init__(
        self, networks: Mapping[str, str], directory: Path, ip: Sequence[str] = ("ip",)
    ) -> None:
        self._ip = Ip(ip, str(directory.absolute()))
        super().__init__(self._ip, networks, directory)

    async def detach(self, name: str) -> None:
        """Out of their bridges and down: no switch sees the guest here. QEMU may hold them still.

        ensure() puts them back. Idempotent.
        """
        for tap in (await self._existing(name)).values():
            await self._ip.detach(tap.interface)

    async def attach(self, name: str) -> None:
        """Back into their bridges and up. Idempotent."""
        for tap in (await self._existing(name)).values():
            await self._ip.attach(tap)


class Ip:
    """Links with the words of ip(8)."""

    def __init__(self, ip: Sequence[str], owner: str) -> None:
        self._command = tuple(ip)
        self._owner = owner  # two daemons on one host have taps of their own for one card

    async def create(self, description: str, bridge: str) -> str:
        """Make a tap, described, in the bridge and up; one that has that description is kept."""
        digest = blake2b(f"{self._owner}\0{description}".encode(), digest_size=NAME_BYTES)
        interface = PREFIX + digest.hexdigest()
        there = await self.description(interface)
        if there is None:
            # A bridge without an address of its own takes its members' lowest: never a tap's.
            address = "fe" + description.rpartition("/")[2][2:]
            await self._batch(
                f"tuntap add dev {interface} mode tap",
                f"link set dev {interface} alias {description} address {address}",
            )
        elif there != description:
            raise LocalFault(
                "TAP_FAILED",
                f"there is an interface {interface} that is not bmig's: {there or 'no alias'}",
                "see whose it is, and rename or remove it",
            )
        try:
            await self.attach(taps.Tap(interface, bridge))
        except LocalFault:
            with contextlib.suppress(LocalFault):
                await self.destroy(interface)
            raise
        return interface

    async def description(self, interface: str) -> str | None:
        """What its alias is."""
        link = await self._link(interface)
        return None if link is None else str(link.get("ifalias", ""))

    async def attach(self, tap: taps.Tap) -> None:
        """In its bridge and up, with packets as large as the bridge's."""
        bridge = await self._link(tap.bridge)
        if bridge is None:
            raise LocalFault(
                "TAP_FAILED",
                f"there is no bridge {tap.bridge} here",
                "look at the bridge of the network in the node's configuration",
            )
        await self._batch(
            f"link set dev {tap.interface} mtu {int(bridge['mtu'])}",
            f"link set dev {tap.interface} master {tap.bridge} up",
        )

    async def detach(self, interface: str) -> None:
        """In no bridge, and down."""
        await self._batch(f"link set dev {interface} nomaster down")

    async def destroy(self, interface: str) -> None:
        """Remove it."""
        await taps.run(*self._command, "link", "delete", "dev", interface)

    async def _batch(self, *lines: str) -> None:
        """All of it in one process, which goes on when the daemon dies."""
        await taps.run(*self._command, "-batch", "-", script="\n".join(lines) + "\n")

    async def _link(self, interface: str) -> dict[str, Any] | None:
        try:
            shown = await taps.run(*self._command, "-json", "link", "show", "dev", interface)
        except LocalFault as error:
            if "does not exist" in error.message:
                return None
            raise
        (found,) = json.loads(shown)
        return dict(found)
