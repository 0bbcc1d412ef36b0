"""Who could write guest memory without the hypervisor's page tables noticing.

Only writes through the hypervisor's own mapping are seen. Direct I/O and devices of the host write
to pages that they looked up earlier; another process writes through a mapping of its own. A log
beside such a writer is worthless, so it is looked for before each use.
"""

import os
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
DEVICES = ("/dev/vfio/", "/dev/iommu", "/dev/vhost-vdpa", "/dev/infiniband/")  # they pin memory


def unseen_writer(pid: int, mapped_at: int, proc: Path = PROC) -> str:
    """Who may write the memory that a process has mapped there, in words; "" for nobody."""
    return _in_process(proc / str(pid)) or _elsewhere(pid, mapped_at, proc)


def _in_process(process: Path) -> str:
    """Of the hypervisor's open files, one through which memory is written directly."""
    for link in (process / "fd").iterdir():
        target = _target(link)
        if target.startswith(DEVICES):
            return f"the device behind {target} writes memory by itself"
        if _flags(process / "fdinfo" / link.name) & os.O_DIRECT:
            return f"{target} is open for direct I/O (O_DIRECT)"
    return ""


def _elsewhere(pid: int, mapped_at: int, proc: Path) -> str:
    """Another process that has the same file mapped, writable and shared."""
    ours = next((file for start, _, file in _maps(proc / str(pid)) if start == mapped_at), "")
    for process in proc.glob("[0-9]*"):
        if process.name == str(pid):
            continue
        for _, access, file in _maps(process):
            if file == ours and access == "rw-s":
                return f"process {process.name} has the guest's memory mapped too, and may write it"
    return ""


def _maps(process: Path) -> Iterator[tuple[int, str, str]]:
    """Start, access, and device and inode of every mapping; none of a process not for us to see."""
    try:
        lines = (process / "maps").read_text(errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        addresses, access, _, device, inode = line.split(maxsplit=5)[:5]
        yield int(addresses.split("-")[0], 16), access, f"{device} {inode}"


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # closed meanwhile
        return ""


def _flags(info: Path) -> int:
    """The flags that a file is open with."""
    try:
        lines = info.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1], 8) for line in lines if line.startswith("flags:")), 0)
