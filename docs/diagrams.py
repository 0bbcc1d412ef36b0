"""Draws the state diagrams of docs/PROTOCOL.md from the tables in the code.

`python -m docs.diagrams` rewrites them; `--check` exits 1 if they are not current.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

from bmigd.migration.handoff import DESTINATION, SOURCE
from bmigd.migration.phases import TRANSITIONS

PROTOCOL = Path(__file__).parent / "PROTOCOL.md"


def diagram(moves: Iterable[tuple[str, str, str]]) -> str:
    """A mermaid state diagram of (from, event, to)."""
    lines = [f"    {a} --> {b}" + (f" : {event}" if event else "") for a, event, b in moves]
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```"])


def diagrams() -> dict[str, str]:
    """Every diagram by the name of its place."""
    source = [(a.name, e.value, b.name) for a, row in SOURCE.items() for e, b in row.items()]
    there = [(a.name, e.value, b.name) for a, row in DESTINATION.items() for e, b in row.items()]
    phases = [(a.name, "", b.name) for a, row in TRANSITIONS.items() for b in sorted(row)]
    return {"source": diagram(source), "destination": diagram(there), "phases": diagram(phases)}


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
