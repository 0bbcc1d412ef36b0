"""What this host has: memory, room on disks, processor. Read anew at every call."""

import contextlib
import ctypes
import functools
import os
import platform
import re
import resource
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

# By the numbers of malloc.h: M_TRIM_THRESHOLD, M_MMAP_THRESHOLD in bytes; M_ARENA_MAX.
GLIBC_MALLOC = {-1: 32 << 20, -3: 8 << 20, -8: 2}
MEMORY_FILE_SYSTEMS = {"tmpfs", "ramfs"}


@dataclass(frozen=True)
class Cpu:
    """A processor."""

    vendor: str
    model: str
    features: tuple[str, ...]  # sorted
    count: int


def memory_bytes() -> tuple[int, int]:
    """Available to new work, and total."""
    memory = psutil.virtual_memory()
    return memory.available, memory.total


def room_bytes(directory: Path) -> int:
    """Free room for this process in a directory's file system."""
    state = os.statvfs(directory)
    return state.f_bavail * state.f_frsize


def is_in_memory(directory: Path) -> bool:
    """Whether files in a directory live in memory, so that they count against it."""
    directory = directory.resolve()
    best = max(
        (part for part in psutil.disk_partitions(all=True) if _holds(part.mountpoint, directory)),
        key=lambda part: len(part.mountpoint),
        default=None,
    )
    return best is not None and best.fstype in MEMORY_FILE_SYSTEMS


def keep_freed_memory() -> None:
    """Have the C library keep what is freed, up to a bound, instead of returning every chunk's
    megabyte to the system and faulting it in again; on glibc only. FreeBSD's does so by itself.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in GLIBC_MALLOC.items():
            mallopt(parameter, value)


def raise_file_limit() -> None:
    """Have as many files open as this process may: strangers' connections take some too."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # a system may allow less than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _holds(mount_point: str, directory: Path) -> bool:
    return directory.is_relative_to(mount_point)


@functools.cache
def cpu() -> Cpu:
    """The processor; it does not change while we run."""
    if platform.system() == "FreeBSD":
        text = Path("/var/run/dmesg.boot").read_text(errors="replace")
        return parse_freebsd_cpu(text, os.cpu_count() or 1)
    return parse_linux_cpu(Path("/proc/cpuinfo").read_text(errors="replace"), os.cpu_count() or 1)


def parse_linux_cpu(text: str, count: int) -> Cpu:
    """From /proc/cpuinfo."""

    def value(key: str) -> str:
        match = re.search(rf"^{key}\s*:\s*(.*)$", text, re.MULTILINE)
        return match[1].strip() if match else ""

    return Cpu(
        value("vendor_id"), value("model name"), tuple(sorted(set(value("flags").split()))), count
    )


def parse_freebsd_cpu(text: str, count: int) -> Cpu:
    """From /var/run/dmesg.boot: `CPU: MODEL (…)`, `Origin="VENDOR"`, `Features…=0x…<A,B>`."""
    model = re.search(r"^CPU: (.*?)(?: \([0-9.]+-MHz.*)?$", text, re.MULTILINE)
    vendor = re.search(r'Origin="([^"]*)"', text)
    lists = re.findall(r"^\s+[A-Za-z ]*Features[0-9]*=0x[0-9a-f]+<([^>]*)>", text, re.MULTILINE)
    features = {name.strip().lower() for names in lists for name in names.split(",")}
    return Cpu(
        vendor[1] if vendor else "",
        model[1].strip() if model else "",
        tuple(sorted(features - {""})),
        count,
    )


def run_text(*argv: str | Path) -> str:
    """Everything a short command prints, whatever its exit status; "" when it cannot be run."""
    try:
        done = subprocess.run(argv, check=False, capture_output=True, timeout=10, text=True)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr
