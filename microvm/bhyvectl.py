"""The bhyvectl command, as far as a migration uses it.

Rule: a checkpoint request is sent, not awaited: exit status 0 says that it left,
never that it was done.
"""
# pathlib costs 8 ms of the downtime of a guest that is restored
# ruff: noqa: PTH108, PTH110, PTH116

from __future__ import annotations

import os
import sys

from microvm import channel, memory, processors
from microvm.nvlist import Descriptor

_FLAGS = (
    "create",
    "destroy",
    "force-poweroff",
    "force-reset",
    "get-stats",
    "get-active-cpus",
    "get-suspended-cpus",
    "get-cpu-topology",
)
_VALUES = ("vm", "checkpoint", "suspend", "rundir")

USAGE = """\
Usage: bhyvectl --vm=<vmname>
       [--rundir=<directory of the control socket>]
       [--create]
       [--destroy]
       [--checkpoint=<filename>]
       [--suspend=<filename>]
       [--force-reset]
       [--force-poweroff]
       [--get-stats]
       [--get-active-cpus]
       [--get-suspended-cpus]
       [--get-cpu-topology]
"""


class Refused(Exception):
    """Nothing was done; carries the exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def main(arguments: list[str]) -> int:
    """Its exit status."""
    try:
        _run(_parse(arguments))
    except Refused as refused:
        sys.stderr.write(f"{refused}\n" if str(refused) else USAGE)
        return refused.status
    return 0


def _parse(arguments: list[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    left = list(arguments)
    while left:
        word = left.pop(0)
        key, separator, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or key not in _FLAGS + _VALUES or key in given:
            raise Refused("")
        if key in _VALUES and not separator:
            if not left:
                raise Refused("")
            value = left.pop(0)
        given[key] = value
    if not given.get("vm") or len(given) == 1 or {"checkpoint", "suspend"} <= set(given):
        raise Refused("")
    return given


def _run(given: dict[str, str]) -> None:
    name = given["vm"]
    node = memory.node_path(os.environ["MICROVM_HOME"], name)
    if "create" in given:
        _create(node, name)
    elif not os.path.exists(node):
        raise Refused(f"VM:{name} could not be opened: No such file or directory")
    for force in ("force-poweroff", "force-reset"):
        if force in given:
            _force(given, force)
    for key in given:
        if key.startswith("get-"):
            _print(key, node)
    for key in ("checkpoint", "suspend"):
        if key in given:
            _checkpoint(given, key)
    if "destroy" in given:
        processors.forget(node)
        os.unlink(node)


def _create(node: str, name: str) -> None:
    try:
        memory.create_node(node)
    except OSError as error:
        raise Refused(f"vm_create: VM:{name}: {error.strerror}") from error


def _socket(given: dict[str, str]) -> str:
    rundir = given.get("rundir") or os.environ["MICROVM_HOME"] + "/run"
    try:
        return channel.address(rundir, given["vm"])
    except channel.ChannelError as error:
        raise Refused(str(error)) from error


def _force(given: dict[str, str], command: str) -> None:
    """The real one asks the kernel; a guest that nobody runs has nothing to end."""
    try:
        channel.send(_socket(given), {"cmd": command})
    except (FileNotFoundError, ConnectionRefusedError):
        return


def _checkpoint(given: dict[str, str], key: str) -> None:
    directory, _, name = given[key].rpartition("/")
    try:
        fd = os.open(directory or ("/" if given[key].startswith("/") else "."), os.O_DIRECTORY)
        request: channel.Request = {
            "cmd": "checkpoint",
            "filename": name,
            "suspend": key == "suspend",
            "fddir": Descriptor(0),
        }
        channel.send(_socket(given), request, fd)
    except OSError as error:
        raise Refused(f"{given[key]}: {error.strerror}", error.errno or 1) from error


def _print(key: str, node: str) -> None:
    active, topology = processors.recall(node)
    answers = {
        "get-active-cpus": processors.describe_set("active cpus", active),
        "get-suspended-cpus": processors.describe_set("suspended cpus", 0),
        "get-cpu-topology": processors.describe_topology(topology),
        "get-stats": f"Resident memory\t{os.stat(node).st_blocks * 512}",
    }
    sys.stdout.write(f"{answers[key]}\n")
