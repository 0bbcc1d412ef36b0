"""Processors of a VM, as the kernel knows them: how many are active, in which topology.

Rule: bhyvectl asks the kernel, which answers whatever the process of the guest is doing, and
after its end for as long as the VM exists.  A file beside the VM node stands for that here:
nobody has to be asked.
"""
# pathlib costs 8 ms of the downtime of a guest that is restored
# ruff: noqa: PTH103, PTH104, PTH108, PTH123

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    Topology = tuple[int, int, int]  # sockets, cores of each, threads of each

MOST = 64  # hw.vmm.maxcpu
_NEW = (0, (1, 1, 1))  # of a VM in which no bhyve has run yet


def remember(node: str, active: int, topology: Topology) -> None:
    """Take what a bhyve that begins to run says of its VM; whole at any time that it is read."""
    path = _path(node)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)  # noqa: PTH120
    with open(f"{path}~", "w", encoding="ascii") as file:
        file.write(" ".join(map(str, (active, *topology))))
    os.rename(f"{path}~", path)


def recall(node: str) -> tuple[int, Topology]:
    """How many are active, and the topology."""
    try:
        with open(_path(node), encoding="ascii") as file:
            active, sockets, cores, threads = map(int, file.read().split())
    except FileNotFoundError:
        return _NEW
    return active, (sockets, cores, threads)


def forget(node: str) -> None:
    """The VM is gone."""
    try:
        os.unlink(_path(node))
    except FileNotFoundError:
        return


def _path(node: str) -> str:
    home, _, name = node.rpartition("/vmm/")
    return f"{home}/vcpus/{name}"


def describe_topology(topology: Topology) -> str:
    """The line of bhyvectl --get-cpu-topology."""
    sockets, cores, threads = topology
    parts = f"sockets={sockets}, cores={cores}, threads={threads}, maxcpus={MOST}"
    return f"cpu_topology:\t{parts}"


def describe_set(banner: str, count: int) -> str:
    """A line of bhyvectl that lists the first processors."""
    return f"{banner}:\t {', '.join(map(str, range(count))) or '(none)'}"
