"""The bhyve command: one process, one guest.

Rule 1: the order is bhyve's: configuration, snapshot index, VM node, devices, memory
and state, title, socket, and then the guest runs.  Who sees the socket may count on
everything before it.
Rule 2: every millisecond here is downtime of a guest that is being moved: nothing is
imported that is not needed, and memory is read while the rest is made.
"""

from __future__ import annotations

import os
import sys
import threading

from microvm import channel, exits, faults, processors, ram
from microvm.config import DEFAULTS, ConfigError, GuestConfig, check_name
from microvm.control import Control, complain, leave
from microvm.disk import Disk
from microvm.memory import Layout, Node, NodeError, Rom, node_path
from microvm.options import CommandLine, Usage
from microvm.restore import Checkpoint, RestoreError
from microvm.state import StateError, load_devices, load_kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from microvm.machine import Machine


def main(arguments: list[str]) -> None:
    """Run bhyve; ends the process with bhyve's status."""
    try:
        leave(_run(CommandLine(arguments)))
    except Usage as usage:
        sys.stderr.write(str(usage))
        leave(usage.status)
    except (ConfigError, RestoreError) as error:
        complain(f"{error}")
        leave(error.status)
    except (NodeError, channel.ChannelError, OSError) as error:
        complain(f"{error}")
        leave(exits.FATAL)
    except StateError as error:
        complain(f"{error}")
        leave(exits.POWEROFF)


def _run(line: CommandLine) -> int:
    if line.values.get("config.dump") in ("1", "true"):
        sys.stdout.write("".join(f"{k}={v}\n" for k, v in sorted((DEFAULTS | line.values).items())))
        sys.stdout.flush()
        return exits.POWEROFF
    checkpoint = Checkpoint(line.restore_from) if line.restore_from else None
    config = _configuration(line, checkpoint)
    home = os.environ["MICROVM_HOME"]
    socket_path = channel.address(config.rundir or f"{home}/run", config.name)
    if "dies-on-start" in faults.read(config.name):
        return exits.FATAL
    node = Node(node_path(home, config.name), Layout(config.memory_bytes))
    processors.remember(node.path, config.cpus, config.topology)
    loading = _Loading(node, checkpoint, config.name)
    machine = _machine(node, config)
    control = Control(machine, config)
    control.take_signals()
    loading.finish(machine, config)
    _set_title(config.name)
    if node.is_destroyed():
        return exits.FATAL
    control.open(socket_path)
    status = machine.run()
    if status == exits.POWEROFF and config.is_destroyed_on_poweroff:
        node.destroy()
    return status


def _configuration(line: CommandLine, checkpoint: Checkpoint | None) -> GuestConfig:
    """The snapshot decides on memory and processors, and on the name unless one is given.

    Topology and memory flags are those of the command line, whatever the guest had before.
    """
    values = dict(line.values)
    if checkpoint:
        values.setdefault("name", checkpoint.name)
        values["memory.size"] = f"{checkpoint.memory_bytes}"
    config = GuestConfig(values)
    if checkpoint:
        config.cpus = checkpoint.cpus
    check_name(config.name)
    if not config.bootrom:
        raise ConfigError("virtual machine cannot be booted")
    return config


def _machine(node: Node, config: GuestConfig) -> Machine:
    from microvm.board import Board
    from microvm.clock import Clock
    from microvm.engine import Processor
    from microvm.machine import Machine
    from microvm.serial import Serial

    has_lpc = any(device.emulation == "lpc" for device in config.devices)
    disk = config.first_disk()
    path = disk.values["path"] if disk else None
    is_read_only = bool(disk and "ro" in disk.values)
    board = Board(Clock(), Serial(config.com1 if has_lpc else None), Disk(path, node, is_read_only))
    board.describe(node.layout, config.cpus)
    machine = Machine(Processor(), board, node)
    assert config.bootrom is not None
    machine.map(Rom(config.bootrom))
    machine.reset()
    return machine


class _Loading:
    """Reads the memory of a snapshot while the machine is being made."""

    def __init__(self, node: Node, checkpoint: Checkpoint | None, name: str) -> None:
        self._checkpoint = checkpoint
        self._wanted = faults.read(name)
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._read, args=(node,))
        if checkpoint:
            self._thread.start()

    def _read(self, node: Node) -> None:
        assert self._checkpoint is not None
        try:
            faults.delay(self._wanted, "restore-slow")
            ram.load(self._checkpoint.path, node)
        except (OSError, ram.RamError) as error:
            self._failure = error

    def finish(self, machine: Machine, config: GuestConfig) -> None:
        """Give the machine the saved state; raises if any part of it is not usable."""
        if self._checkpoint is None:
            return
        self._thread.join()
        if self._failure or "restore-fails" in self._wanted:
            raise RestoreError(f"Failed to restore VM memory: {self._failure}")
        load_devices(machine, config, self._checkpoint.devices())
        load_kernel(machine, self._checkpoint.kernel())


def _set_title(name: str) -> None:
    """`bhyve: NAME`, by which supervisors find the process."""
    try:
        title = __import__("_setproctitle")
    except ImportError:
        try:
            title = __import__("setproctitle")
        except ImportError:
            return
    title.setproctitle(f"bhyve: {name}")
