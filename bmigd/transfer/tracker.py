"""What every tracker promises: it says which pages may differ from what the destination has.

The rule that must not break: after a pass over memory that nobody writes, the destination has what
the guest has, whatever was written during the passes before.
"""

from collections.abc import Generator
from typing import Protocol

from bmigd.drivers.base import Memory
from bmigd.transfer.batch import Batch


class Tracker(Protocol):
    """Finds the dirty pages of one migration."""

    name: str
    reads_all: bool  # whether each pass reads all memory, and so finds whatever was written

    def scan(self, memory: Memory) -> Generator[Batch, None, None]:
        """One pass over all memory: batches of what changed, the table brought up to date.

        The last batch of each stretch may be empty; it reports what was looked at.
        """
