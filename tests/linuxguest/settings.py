"""What the guest is to do, as words of the kernel's command line."""

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from microvm.guest import rom

BASE = ("console=ttyS0", "quiet", "reboot=t", "panic=-1")


@dataclass(frozen=True)
class Settings:
    """The work of the guest program, an address of its card, memory for memtester."""

    work: rom.Program | None = None
    address: str = ""  # with its prefix, as 10.9.0.5/24
    memtester: str = ""  # a size, as 16M

    def words(self) -> tuple[str, ...]:
        """The kernel's command line."""
        found = list(BASE)
        if self.work:
            block = struct.unpack_from("<13Q", rom.build(self.work), 24)
            found.append("bmig.work=" + ":".join(map(str, block)))
        if self.address:
            found.append(f"bmig.ip={self.address}")
        if self.memtester:
            found.append(f"bmig.memtester={self.memtester}")
        return tuple(found)


def uptimes(console: bytes) -> list[float]:
    """The guest's own uptime at each heartbeat, in seconds."""
    return [float(up) for up in re.findall(rb"^HB n=.* up=([0-9.]+)\r?\n", console, re.MULTILINE)]


def require_unbroken(ups: Iterable[float], longest_gap_s: float) -> None:
    """The guest never booted again, and never leapt: AssertionError otherwise."""
    last: float | None = None
    for up in ups:
        assert last is None or 0 <= up - last <= longest_gap_s, f"uptime {last} s, then {up} s"
        last = up
    assert last is not None, "no heartbeat with an uptime"
