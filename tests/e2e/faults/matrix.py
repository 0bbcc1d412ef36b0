"""Which fault happens in which phase on which side, and what must come of it.

A cell that does not apply says why; every other one is a test, and a row of docs/FAILURES.md.
"""

from itertools import product
from typing import NamedTuple

FAULTS = (
    "daemon killed",
    "daemon stopped",  # and going on after more than a lease
    "supervisor killed",
    "supervisor stopped",
    "hypervisor killed",
    "hypervisor stopped",
    "host crashed",
)
PHASES = ("preparing", "precopy", "switchover", "let go", "handoff", "after")
SIDES = ("source", "destination", "both")

MOVED, STAYED, EITHER = "moved", "stayed", ""


class Cell(NamedTuple):
    """A place in the matrix."""

    fault: str
    phase: str
    side: str


class Expected(NamedTuple):
    """Where the guest must be in the end."""

    outcome: str
    is_afresh: bool = False
    by_operator: bool = False  # it is down, or nobody watches it: an operator ends and starts it


def why_not(cell: Cell) -> str:
    """Why a cell does not apply ("" if it does)."""
    fault, phase, side = cell
    if side == "both" and fault not in ("daemon killed", "host crashed"):
        return "both sides at once are tried with daemons and hosts"
    if side == "source" and phase == "after" and fault.startswith(("supervisor", "hypervisor")):
        return "the source has neither any more"
    if fault.startswith("hypervisor"):
        return _why_no_hypervisor(phase, side)
    return ""


def _why_no_hypervisor(phase: str, side: str) -> str:
    if side == "source" and phase in ("let go", "handoff"):
        return "the source's hypervisor has ended with the suspend"
    if side == "destination" and phase not in ("handoff", "after"):
        return "the destination has no hypervisor before it executes it"
    return ""


CELLS = [Cell(*one) for one in product(FAULTS, PHASES, SIDES)]
APPLICABLE = [cell for cell in CELLS if not why_not(cell)]

BEFORE = ("preparing", "precopy", "switchover")
_SPECIAL = {
    # READY for longer than a lease: the destination refuses.
    ("daemon stopped", "let go", "source"): Expected(STAYED),
    # Nobody watches the guest any more: it runs on, and an operator has to start it anew.
    ("supervisor killed", "preparing", "source"): Expected(STAYED, True, True),
    ("supervisor killed", "precopy", "source"): Expected(STAYED, True, True),
    ("supervisor killed", "switchover", "source"): Expected(MOVED),
    # Without it nothing can be executed there, and that is found out before.
    ("supervisor killed", "let go", "destination"): Expected(STAYED),
    ("supervisor killed", "handoff", "destination"): Expected(MOVED, True),
    ("supervisor killed", "after", "destination"): Expected(MOVED, True, True),
    ("hypervisor killed", "preparing", "source"): Expected(STAYED, True, True),
    ("hypervisor killed", "precopy", "source"): Expected(STAYED, True, True),
    ("hypervisor killed", "switchover", "source"): Expected(STAYED, True),
    ("hypervisor killed", "handoff", "destination"): Expected(STAYED),
    ("hypervisor killed", "after", "destination"): Expected(MOVED, True, True),
    ("host crashed", "let go", "destination"): Expected(STAYED),
    ("host crashed", "let go", "both"): Expected(STAYED, True),
    ("host crashed", "handoff", "destination"): Expected(MOVED, True),
    ("host crashed", "handoff", "both"): Expected(MOVED, True),
    ("host crashed", "after", "destination"): Expected(MOVED, True, True),
    ("host crashed", "after", "both"): Expected(MOVED, True, True),
}


def expected(cell: Cell) -> Expected:
    """What must come of it."""
    if cell in _SPECIAL:
        return _SPECIAL[cell]
    fault, phase, side = cell
    if fault == "host crashed" and phase in BEFORE:
        return Expected(STAYED, is_afresh=side != "destination")
    if fault.startswith("daemon") and phase in BEFORE:
        return Expected(STAYED)
    if fault == "supervisor killed" and phase in BEFORE:
        return Expected(STAYED)
    # On a busy machine a lease of READY may be over before the commit is there.
    return Expected(EITHER if phase == "let go" else MOVED)
