"""Draws the state diagrams and the handoff of docs/PROTOCOL.md from the tables in the code.

`python -m docs.diagrams` rewrites them; `--check` exits 1 if they are not current.
"""

import sys
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from bmig.v1 import peer_pb2

from bmigd.migration.handoff import (
    DESTINATION,
    SOURCE,
    DestinationEvent,
    DestinationState,
    SourceEvent,
    SourceState,
)
from bmigd.migration.phases import TRANSITIONS
from bmigd.migration.steps import DESTINATION_STEPS, SOURCE_STEPS, Step

PROTOCOL = Path(__file__).parent / "PROTOCOL.md"
COMMITTING = (DestinationEvent.COMMITTED, DestinationEvent.EXECUTING, DestinationEvent.GUEST_RUNS)

Moves = Mapping[Any, Mapping[Any, StrEnum]]
Steps = Mapping[Any, tuple[Step, ...]]


def diagram(moves: Iterable[tuple[str, str, str]]) -> str:
    """A mermaid state diagram of (from, event, to)."""
    lines = [f"    {a} --> {b}" + (f" : {event}" if event else "") for a, event, b in moves]
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```"])


def handoff() -> str:
    """A mermaid sequence of the handoff when nothing goes wrong: what each event has done."""
    calls = peer_pb2.DESCRIPTOR.services_by_name["PeerService"].methods_by_name
    there, here = DestinationState, SourceState
    lines = [
        "participant S as source",
        "participant D as destination",
        f"S->>D: {calls['DeliverState'].name}",
        *_notes("D", DESTINATION, DESTINATION_STEPS, there.RECEIVING, DestinationEvent.CHECKED),
        f"D-->>S: {there.READY}",
        *_notes("S", SOURCE, SOURCE_STEPS, here.MIGRATING, SourceEvent.PEER_READY),
        f"S->>D: {calls['Commit'].name}",
        *_notes("D", DESTINATION, DESTINATION_STEPS, there.READY, *COMMITTING),
        f"D-->>S: {there.RUNNING}",
        *_notes("S", SOURCE, SOURCE_STEPS, here.LET_GO, SourceEvent.PEER_RUNS_IT),
    ]
    return "\n".join(["```mermaid", "sequenceDiagram", *(f"    {one}" for one in lines), "```"])


def _notes(side: str, moves: Moves, steps: Steps, state: StrEnum, *events: StrEnum) -> list[str]:
    lines = []
    for event in events:
        state = moves[state][event]
        words = (f"journal {state}" if one is Step.JOURNAL else one.value for one in steps[event])
        lines.append("<br/>".join([f"Note over {side}: {event}:", *words]))
    return lines


def diagrams() -> dict[str, str]:
    """Every diagram by the name of its place."""
    source = [(a.name, e.value, b.name) for a, row in SOURCE.items() for e, b in row.items()]
    there = [(a.name, e.value, b.name) for a, row in DESTINATION.items() for e, b in row.items()]
    phases = [(a.name, "", b.name) for a, row in TRANSITIONS.items() for b in sorted(row)]
    return {
        "handoff": handoff(),
        "source": diagram(source),
        "destination": diagram(there),
        "phases": diagram(phases),
    }


def redrawn(text: str) -> str:
    """The document with every diagram drawn anew."""
    for name, drawing in diagrams().items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n{drawing}\n{end}{after}"
    return text


def main() -> int:
    """Rewrite, or check."""
    text = PROTOCOL.read_text(encoding="utf-8")
    new = redrawn(text)
    if "--check" in sys.argv[1:]:
        return int(new != text)
    PROTOCOL.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
