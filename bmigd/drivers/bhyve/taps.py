"""Tap interfaces of bhyve's network cards: made and bridged before bhyve opens them, gone when the
guest is: no switch is to see one MAC in two places.

Which tap belongs to which card is kept in a file per guest, for taps outlive the daemon. They do
not outlive the host, and their numbers are given out again: so each tap carries its card in its
description, and one that does not is somebody else's and is not touched.
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Mapping
from pathlib import Path

from bmigd.errors import LocalFault
from bmigd.guests.definition import Definition


class Taps:
    """Makes and removes tap interfaces with ifconfig(8)."""

    def __init__(self, ifconfig: Path, networks: Mapping[str, str], directory: Path) -> None:
        self._ifconfig = ifconfig
        self._networks = networks
        self._directory = directory

    async def ensure(self, definition: Definition) -> dict[str, str]:
        """A tap for every network card of the guest, by MAC, up and in its bridge.

        Those that exist are kept; a tap goes down when a bhyve lets it go. On an error what was
        made is noted, for remove().
        """
        name = definition.name
        taps = await self._existing(name)
        for device in definition.devices:
            if device.mac and device.network:
                if tap := taps.get(device.mac):
                    await self._run(tap, "up")
                else:
                    await _whole(self._add(name, device.network, device.mac, taps))
        return taps

    async def remove(self, name: str) -> None:
        """Destroy the guest's taps. Idempotent."""
        for tap in (await self._existing(name)).values():
            await self._run(tap, "destroy")
        self._path(name).unlink(missing_ok=True)

    async def _add(self, name: str, network: str, mac: str, taps: dict[str, str]) -> None:
        bridge = self._networks.get(network)
        if bridge is None:
            raise LocalFault("NETWORK_MISSING", f"network {network!r} is not configured here")
        tap = (await self._run("tap", "create")).strip()
        try:
            await self._run(tap, "description", _description(name, mac))
            await self._run(bridge, "addm", tap)
            await self._run(tap, "up")
        except LocalFault:
            with contextlib.suppress(LocalFault):
                await self._run(tap, "destroy")
            raise
        taps[mac] = tap
        self._save(name, taps)

    async def _existing(self, name: str) -> dict[str, str]:
        """The noted taps that are still this guest's."""
        kept = {}
        for mac, tap in self._load(name).items():
            try:
                shown = await self._run(tap)
            except LocalFault as error:
                if "does not exist" in error.message:  # gone with the host's last run
                    continue
                raise
            if f"description: {_description(name, mac)}" in map(str.strip, shown.splitlines()):
                kept[mac] = tap
        return kept

    async def _run(self, *arguments: str) -> str:
        try:
            process = await asyncio.create_subprocess_exec(
                str(self._ifconfig),
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise LocalFault("TAP_FAILED", f"cannot run {self._ifconfig}: {error}") from error
        output, words = await process.communicate()
        if process.returncode:
            raise LocalFault(
                "TAP_FAILED",
                f"ifconfig {' '.join(arguments)}: {words.decode(errors='replace').strip()}",
                "look at the bridge of the network in the node's configuration",
            )
        return output.decode(errors="replace")

    def _load(self, name: str) -> dict[str, str]:
        try:
            content = json.loads(self._path(name).read_text(encoding="utf-8"))
            return {str(mac): str(tap) for mac, tap in content.items()}
        except (FileNotFoundError, ValueError, AttributeError):  # a crash may have cut it
            return {}

    def _save(self, name: str, taps: Mapping[str, str]) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path(name).write_text(json.dumps(taps), encoding="utf-8")

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.json"


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
