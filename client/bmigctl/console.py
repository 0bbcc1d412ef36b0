"""A guest's serial console on this terminal.

Rule: the terminal is given back as it was, however the console ends. Only a terminal on both
ends joins both ways; a pipe gets the output alone.
"""

import asyncio
import contextlib
import os
import signal
import sys
import termios
import tty
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import click
import grpc
from bmig.v1 import guest_pb2
from grpc.aio import AioRpcError

from bmigctl.cluster import FoundGuest
from bmigctl.dial import CONSOLE_S

DETACH = b"\x1d"  # Ctrl-]
_ENDINGS = (signal.SIGTERM, signal.SIGHUP)
_INPUT_LIMIT = 4096  # in one message
_QUIET_S = 0.3  # the recent output is over when nothing came for so long
_HISTORY_S = 0.6  # for guests that never pause
_FIRST_S = 10.0  # until the node has answered at all


class Console:
    """One attachment to a guest's console."""

    def __init__(self, found: FoundGuest) -> None:
        self._found = found
        self._typed: asyncio.Queue[bytes] = asyncio.Queue()
        self._left = asyncio.Event()
        self._call: Any = found.node.guests.AttachConsole(self._requests(), timeout=CONSOLE_S)

    async def history(self) -> None:
        """Prints the recent output and ends."""
        loop = asyncio.get_running_loop()
        wait_s, end = _FIRST_S, loop.time() + _FIRST_S + _HISTORY_S
        try:
            while loop.time() < end:
                async with asyncio.timeout(wait_s):
                    output = await self._read()
                if output is None:
                    return
                _write(output)
                wait_s = _QUIET_S
                end = min(end, loop.time() + _HISTORY_S)
        except TimeoutError:
            return
        finally:
            self._close()

    async def join(self) -> bool:
        """Prints until the console ends (True) or the operator leaves it (False)."""
        try:
            if sys.stdin.isatty() and sys.stdout.isatty():
                return await self._join_both_ways()
            await self._print_all()
            return True
        finally:
            self._close()

    async def _join_both_ways(self) -> bool:
        with _raw_terminal(), self._keyboard():
            printing = asyncio.ensure_future(self._print_all())
            leaving = asyncio.ensure_future(self._left.wait())
            try:
                await asyncio.wait({printing, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if not printing.done():
                    return False
                await printing
                return True
            finally:
                self._close()
                printing.cancel()
                leaving.cancel()
                await asyncio.gather(printing, leaving, return_exceptions=True)

    async def _requests(self) -> AsyncGenerator[guest_pb2.AttachConsoleRequest, None]:
        yield guest_pb2.AttachConsoleRequest(name=self._found.guest.definition.name)
        while True:  # half-closing would end the console for the node
            yield guest_pb2.AttachConsoleRequest(input=await self._typed.get())

    @contextlib.contextmanager
    def _keyboard(self) -> Iterator[None]:
        loop, keyboard = asyncio.get_running_loop(), sys.stdin.fileno()

        def take() -> None:
            typed = os.read(keyboard, _INPUT_LIMIT)
            before, leaves, _ = typed.partition(DETACH)
            if before:
                self._typed.put_nowait(before)
            if leaves or not typed:
                self._left.set()

        loop.add_reader(keyboard, take)
        for number in _ENDINGS:
            loop.add_signal_handler(number, self._left.set)
        try:
            yield
        finally:
            for number in _ENDINGS:
                loop.remove_signal_handler(number)
            loop.remove_reader(keyboard)

    async def _print_all(self) -> None:
        while (output := await self._read()) is not None:
            _write(output)

    async def _read(self) -> bytes | None:
        try:
            answer = await self._call.read()
        except AioRpcError as error:
            told = await self._found.node.explain(error)
            name = self._found.guest.definition.name
            raise told.about(guest=name, location=f"on {self._found.node.name}") from error
        ended = answer is grpc.aio.EOF  # type: ignore[attr-defined]
        return None if ended else bytes(answer.output)

    def _close(self) -> None:
        self._call.cancel()


def announce(found: FoundGuest) -> None:
    """Says how to leave, where somebody could."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        name = found.guest.definition.name
        click.echo(f"console of {name} on {found.node.name}; Ctrl-] leaves it", err=True)


def _write(output: bytes) -> None:
    sys.stdout.buffer.write(output)
    sys.stdout.buffer.flush()


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    tty.setraw(keyboard)
    try:
        yield
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
        click.echo("", err=True)
