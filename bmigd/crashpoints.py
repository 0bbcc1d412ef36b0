"""Points with names at which a daemon under test ends or stops itself; see tests/e2e/faults.

BMIGD_CRASH_POINT names a file with one line: a point, which time it is reached, and a signal. The
daemon that comes there removes the file and sends itself the signal. Without the variable a point
costs one comparison, and nothing is read.

The points of a change of ownership are those of its steps (migration/steps.py); OTHERS are all
that there is besides.
"""

import os
import signal
from pathlib import Path

VARIABLE = "BMIGD_CRASH_POINT"
_ORDER = os.environ.get(VARIABLE)

OTHERS = (
    "source.open",  # before MIGRATING is journalled, and after
    "source.opened",
    "source.meet_peer",  # the destination has prepared; its journal is not known here yet
    "source.met_peer",
    "source.suspend",  # before the guest is asked to stop
    "source.suspended",
    "source.copied",  # after the last pass, before device state is delivered
    "source.forgotten",  # the definition is removed, the rest of a released guest is still here
    "destination.open",  # before RECEIVING is journalled, and after
    "destination.opened",
    "destination.prepared",  # room and supervisor are there
    "destination.written",  # device state is written, and not checked
)
MARK = "journal.mark"  # in a write: after SQLite has it, before the mark has


def reach(*name: str) -> None:
    """Come to a point."""
    if _ORDER is not None:
        _obey(Path(_ORDER), ".".join(name))


def _obey(order: Path, name: str) -> None:
    try:
        wanted, times, number = order.read_text(encoding="ascii").split()
    except FileNotFoundError:
        return
    if wanted != name:
        return
    if int(times) > 1:
        order.write_text(f"{wanted} {int(times) - 1} {number}", encoding="ascii")
        return
    order.unlink()
    os.kill(os.getpid(), signal.Signals[number])
