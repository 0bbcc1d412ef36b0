"""How late an event loop runs what is due, noted from inside: a module runs as by `python -m`, and
there is a tick in each of its loops.

`python -P bench/ticking.py FILE MODULE [ARGUMENT...]` appends to FILE. A tick is due every 5 ms,
whatever became of the one before; if it comes too late for others, it speaks for them. The module
does not know of it, and processes that it starts have no ticks. Imports nothing of ours: where it
runs by its path there may be nothing but the product.
"""

import asyncio
import os
import runpy
import struct
import sys
from pathlib import Path

EVERY_S = 0.005
TICK = struct.Struct("=dd")  # when it ran, of the monotonic clock, and how late that was; in s


class Ticking(asyncio.DefaultEventLoopPolicy):
    """Makes loops that tick."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._notes = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """One that ticks whenever it runs."""
        loop = super().new_event_loop()
        loop.call_soon(self._tick, loop, loop.time())
        return loop

    def _tick(self, loop: asyncio.AbstractEventLoop, due_s: float) -> None:
        now_s = loop.time()
        late_s = max(0.0, now_s - due_s)
        os.write(self._notes, TICK.pack(now_s, late_s))
        due_s += EVERY_S * (1 + late_s // EVERY_S)
        loop.call_at(due_s, self._tick, loop, due_s)


def main() -> None:
    """Run the module."""
    path, module, *arguments = sys.argv[1:]
    asyncio.set_event_loop_policy(Ticking(Path(path)))
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
