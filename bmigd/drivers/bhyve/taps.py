"""Tap interfaces of bhyve's network cards: made before bhyve opens them, gone before another host
has the guest, so that no switch sees one MAC in two places.

Which tap belongs to which card is kept in a file per guest: taps outlive the daemon.
"""

import asyncio
import json
from collections.abc import Mapping
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
        """A tap for every network card of the guest, by MAC; those that exist are kept."""
        taps = self._load(definition.name)
        for device in definition.devices:
            if device.mac and device.network and device.mac not in taps:
                taps[device.mac] = await self._make(device.network)
                self._save(definition.name, taps)
        return taps

    async def remove(self, name: str) -> None:
        """Destroy the guest's taps. Idempotent."""
        for tap in self._load(name).values():
            await self._run(tap, "destroy")
        self._path(name).unlink(missing_ok=True)

    async def _make(self, network: str) -> str:
        bridge = self._networks.get(network)
        if bridge is None:
            raise LocalFault("NETWORK_MISSING", f"network {network!r} is not configured here")
        tap = (await self._run("tap", "create")).strip()
        try:
            await self._run(tap, "up")
            await self._run(bridge, "addm", tap)
        except LocalFault:
            await self._run(tap, "destroy")
            raise
        return tap

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
        except FileNotFoundError:
            return {}
        return {str(mac): str(tap) for mac, tap in content.items()}

    def _save(self, name: str, taps: Mapping[str, str]) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path(name).write_text(json.dumps(taps), encoding="utf-8")

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.json"
