"""The board: which port belongs to which device.

README.md lists the ports; the guest program and this file are its only users.
"""

from __future__ import annotations

from functools import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from microvm.clock import Clock
    from microvm.disk import Disk
    from microvm.memory import Layout
    from microvm.serial import Serial

COM1 = 0x3F8
MS_LOW, MS_HIGH, BUTTON, POWER = 0x800, 0x804, 0x808, 0x80C
LOW_PAGES, HIGH_PAGES, CPUS = 0x810, 0x814, 0x818
DISK_REGISTERS, DISK_COMMAND, DISK_STATUS, DISK_CAPACITY = 0x900, 0x910, 0x914, 0x918

POWER_RESET, POWER_OFF = 1, 2
NOTHING_THERE = 0xFFFFFFFF


class Board:
    """The devices of one guest behind their ports."""

    def __init__(self, clock: Clock, serial: Serial, disk: Disk) -> None:
        self.clock, self.serial, self.disk = clock, serial, disk
        self.is_button_pressed = False
        self.power_request = 0
        self._latched_ms = 0
        self.on_power: Callable[[], None] = lambda: None
        self._readers: dict[int, Callable[[], int]] = {}
        self._writers: dict[int, Callable[[int], None]] = {}
        self._wire_serial()
        self._wire_disk()
        self._readers[MS_LOW] = self._latch_ms
        self._readers[MS_HIGH] = lambda: self._latched_ms >> 32
        self._readers[BUTTON] = lambda: int(self.is_button_pressed)
        self._writers[POWER] = self._ask_power

    def describe(self, layout: Layout, cpus: int) -> None:
        """What the guest may read about its machine."""
        low, high = layout.low >> 12, layout.high >> 12
        self._readers[LOW_PAGES] = lambda: low
        self._readers[HIGH_PAGES] = lambda: high
        self._readers[CPUS] = lambda: cpus

    def _wire_serial(self) -> None:
        for register in range(8):
            self._readers[COM1 + register] = partial(self.serial.read, register)
            self._writers[COM1 + register] = partial(self.serial.write, register)

    def _wire_disk(self) -> None:
        for register in range(4):
            port = DISK_REGISTERS + 4 * register
            self._writers[port] = partial(self.disk.set, register)
        self._writers[DISK_COMMAND] = self.disk.command
        self._readers[DISK_STATUS] = self.disk.status
        self._readers[DISK_CAPACITY] = lambda: min(self.disk.capacity(), NOTHING_THERE)

    def read(self, port: int) -> int:
        """What an IN from a port gives; all ones where nothing is."""
        reader = self._readers.get(port)
        return reader() & NOTHING_THERE if reader else NOTHING_THERE

    def write(self, port: int, value: int) -> None:
        """An OUT to a port."""
        writer = self._writers.get(port)
        if writer:
            writer(value)

    def _latch_ms(self) -> int:
        self._latched_ms = self.clock.now_ns() // 1_000_000
        return self._latched_ms & NOTHING_THERE

    def _ask_power(self, value: int) -> None:
        self.power_request = value
        self.on_power()
