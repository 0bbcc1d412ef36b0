"""The hypervisor's programs and places on this host, and what they can do."""

import asyncio
import hashlib
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from bmigd import host
from bmigd.config import Bhyve
from bmigd.drivers.base import DriverFacts
from bmigd.drivers.bhyve.command import SAVEABLE
from bmigd.errors import LocalFault
from bmigd.words import why

KERNEL_MODULE = Path("/boot/kernel/vmm.ko")
FIRST_RELEASE = 14


@dataclass(frozen=True)
class Programs:
    """Runs bhyvectl; knows where nodes and control sockets appear."""

    config: Bhyve

    def node(self, name: str) -> Path:
        """The VM node of a guest."""
        return self.config.vmm_dir / name

    def control_socket(self, name: str) -> Path:
        """The control socket; bhyve makes it just before the guest runs."""
        return self.config.run_dir / name

    def destroy_argv(self, name: str) -> list[str]:
        """Removes what a hypervisor left in the kernel."""
        return [str(self.config.bhyvectl), f"--vm={name}", "--destroy"]

    async def request_suspend(self, name: str, file: Path) -> None:
        """Ask for a suspend; returning says only that the request was sent.

        LocalFault (SUSPEND_FAILED).
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *(str(self.config.bhyvectl), f"--vm={name}", f"--suspend={file}"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        except OSError as error:
            raise LocalFault(
                "SUSPEND_FAILED",
                f"{self.config.bhyvectl} cannot be run: {why(error)}",
                "install it, or correct bhyve.bhyvectl in the configuration of this node",
            ) from error
        output, _ = await process.communicate()
        if process.returncode:
            raise LocalFault(
                "SUSPEND_FAILED",
                f"bhyvectl --suspend exited with {process.returncode}:"
                f" {output.decode(errors='replace').strip() or os.strerror(process.returncode)}",
            )

    async def answers(self, name: str) -> bool:
        """Whether some bhyve of that name lives: what an ended one left refuses connections."""
        try:
            _, writer = await asyncio.open_unix_connection(self.control_socket(name))
        except OSError:
            return False
        writer.close()
        return True

    async def destroy(self, name: str) -> None:
        """Remove the VM node, if there is one."""
        if self.node(name).exists():
            await asyncio.to_thread(host.run_text, *self.destroy_argv(name))

    def missing(self) -> str:
        """Which program is not there, in words; "" if both are. Blocks."""
        there = [one for one in (self.config.bhyve, self.config.bhyvectl) if not one.exists()]
        return f"{' and '.join(map(str, there))} cannot be found" if there else ""

    def probe(self) -> DriverFacts:
        """What is installed and whether it can suspend and restore. Blocks; runs both programs."""
        problem = self._problem()
        return DriverFacts(
            name="bhyve",
            build="" if problem else self._build(),
            can_snapshot=not problem,
            problem=problem,
            devices=SAVEABLE,
            can_throttle=True,
        )

    def _problem(self) -> str:
        """Why no guest can be moved with it, in words; "" if nothing is in the way."""
        bhyve, bhyvectl = self.config.bhyve, self.config.bhyvectl
        if missing := self.missing():
            return missing
        if "--suspend=" not in host.run_text(bhyvectl):
            return f"{bhyvectl} has no --suspend: built without BHYVE_SNAPSHOT"
        if "-r:" not in host.run_text(bhyve, "-h"):
            return f"{bhyve} has no -r: built without BHYVE_SNAPSHOT"
        is_freebsd = platform.system() == "FreeBSD"
        if is_freebsd and "BHYVE_SNAPSHOT" not in host.run_text("sysctl", "-n", "kern.conftxt"):
            return "the kernel was built without options BHYVE_SNAPSHOT"
        return flaw_of_release(platform.system(), platform.release())

    def _build(self) -> str:
        """Device state is raw structs of exactly this build: names it."""
        digest = hashlib.sha256()
        for path in (self.config.bhyve, self.config.bhyvectl, KERNEL_MODULE):
            if path.exists():
                digest.update(hashlib.sha256(path.read_bytes()).digest())
        return f"{platform.system()} {platform.release()} {digest.hexdigest()[:16]}"


def flaw_of_release(system: str, release: str) -> str:
    """Why snapshots of an operating system's bhyve are not to be trusted; "" when they are. Pure.

    Before 14 bhyve saves one device of each emulation and silently loses the others.
    """
    major = release.partition(".")[0]
    if system != "FreeBSD" or not major.isdigit() or int(major) >= FIRST_RELEASE:
        return ""
    return f"bhyve of FreeBSD {release} loses devices in snapshots: {FIRST_RELEASE}.0 is needed"
