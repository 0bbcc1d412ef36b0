"""The machine: runs the guest, lets another thread hold it still, and says how it ended.

Rule 1: only the thread in run() touches the processor while the guest runs; others
ask for a pause and have it to themselves until they resume.
Rule 2: guest time stands still exactly while the guest does.
"""

from __future__ import annotations

import os
import threading

from microvm import engine
from microvm.board import POWER_OFF, POWER_RESET, Board
from microvm.exits import HALT, POWEROFF, RESET, TRIPLE_FAULT, UNKNOWN_SUSPEND
from microvm.memory import HIGHMEM_BASE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from microvm.memory import Node, Rom

_ROM_END = HIGHMEM_BASE
_RETRY_STOP_S = 0.002
_INTERRUPTS_ENABLED = 0x200
_POWER_EXITS = {POWER_RESET: RESET, POWER_OFF: POWEROFF}


class Machine:
    """One processor, its board and its memory."""

    def __init__(self, processor: engine.Processor, board: Board, node: Node) -> None:
        self.processor, self.board, self.node = processor, board, node
        self.entry = 0
        self._rom: Rom | None = None
        self._turn = threading.Condition()
        self._pause_wanted = False
        self._is_parked = False
        self._forced: list[int] = []
        processor.on_ports(board.read, board.write)
        board.on_power = processor.stop

    def map(self, rom: Rom) -> None:
        """Memory and ROM, where the guest finds them."""
        for base, length, host in self.node.map():
            self.processor.map(base, length, engine.PROT_ALL, host)
        self._rom = rom
        self.entry = _ROM_END - rom.length
        self.processor.map(self.entry, rom.length, engine.PROT_READ_EXEC, rom.pointer)

    def reset(self) -> None:
        """The state in which a guest is entered at the first byte of its ROM."""
        self.processor.write(engine.RIP, self.entry)

    def run(self) -> int:
        """Run the guest to its end; returns bhyve's exit status."""
        self.board.clock.start()
        while True:
            self._give_way()
            if self._forced:
                return self._forced[0]
            status = self.processor.run(self.processor.read(engine.RIP))
            if self.board.power_request:
                return self._power()
            if status:
                return self._failed(status)
            if self._has_halted() and not self._sleep():
                return HALT

    def _give_way(self) -> None:
        with self._turn:
            if not self._pause_wanted:
                return
            self.board.clock.stop()
            self._is_parked = True
            self._turn.notify_all()
            self._turn.wait_for(lambda: not self._pause_wanted)
            self._is_parked = False
            self.board.clock.start()

    def _has_halted(self) -> bool:
        """A run also ends when it is stopped: only a HLT behind us is one."""
        address = self.processor.read(engine.RIP) - 1
        if self._rom and self.entry <= address < _ROM_END:
            return self._rom.image[address - self.entry] == 0xF4
        return os.pread(self.node.fd, 1, address) == b"\xf4"

    def _sleep(self) -> bool:
        """Wait for the next tick; false if no interrupt could ever end the halt."""
        if not self.processor.read(engine.RFLAGS) & _INTERRUPTS_ENABLED:
            return False
        self.board.serial.flush()
        with self._turn:
            if not self._pause_wanted and not self._forced:
                self._turn.wait(self.board.clock.until_tick_s())
        return True

    def _power(self) -> int:
        self.board.serial.drain()
        return _POWER_EXITS.get(self.board.power_request, UNKNOWN_SUSPEND)

    def _failed(self, status: int) -> int:
        rip = self.processor.read(engine.RIP)
        os.write(2, f"vm exit at {rip:#x}: {self.processor.reason(status)}\n".encode())
        if status in (engine.ERROR_EXCEPTION, engine.ERROR_INSN_INVALID):
            return TRIPLE_FAULT  # nobody handles exceptions in this guest
        os.abort()  # VMEXIT_ABORT: an access that nothing answers

    def pause(self) -> None:
        """Hold the guest still; returns when it is."""
        with self._turn:
            self._pause_wanted = True
            self._turn.notify_all()
            while not self._is_parked:
                self.processor.stop()
                self._turn.wait(_RETRY_STOP_S)

    def resume(self) -> None:
        """Let the processor go on."""
        with self._turn:
            self._pause_wanted = False
            self._turn.notify_all()

    def press_power_button(self) -> None:
        """The guest sees it when it looks."""
        self.board.is_button_pressed = True

    def force(self, status: int) -> None:
        """End the guest from outside with this exit status."""
        self.pause()
        self._forced.append(status)
        self.resume()
