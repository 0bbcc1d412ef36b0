"""Writes the tables of docs/FAILURES.md from the results of `make faults`.

`python -m docs.faults` rewrites them; `--check` exits 1 if they are not current.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.e2e.faults.matrix import CELLS, why_not

PAGE = Path(__file__).parent / "FAILURES.md"
RESULTS = Path(__file__).parent / "faults.json"
BEGIN, END = "<!-- faults -->", "<!-- /faults -->"
AT_A_POINT = "daemon dies"

Result = dict[str, Any]


def results() -> list[Result]:
    """What the last run came to."""
    found: list[Result] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return found


def tables(found: list[Result]) -> str:
    """Every table, and what does not apply."""
    cases = [one for one in found if one["fault"] != AT_A_POINT]
    points = [one for one in found if one["fault"] == AT_A_POINT]
    return "\n\n".join(
        [
            f"{len(found)} cases: {len(cases)} faults in a phase on a side, and a daemon that dies"
            f" in {len(points)} ways at its named points.",
            _table(("fault", "phase", "side"), cases),
            _table(("a daemon dies", "side", "ways"), _by_event(points)),
            "Not tried:",
            "\n".join(_left_out()),
        ]
    )


def _table(headings: tuple[str, ...], rows: Iterable[Result]) -> str:
    last = ("the guest in the end", "settled after", "silent for")
    lines = [headings + last, ("---",) * (len(headings) + len(last))]
    lines += [
        (*(str(row[name]) for name in _keys(headings)), row["outcome"], *_seconds(row))
        for row in rows
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _keys(headings: tuple[str, ...]) -> tuple[str, ...]:
    return ("phase", "side", "ways") if headings[0] == "a daemon dies" else headings


def _seconds(row: Result) -> tuple[str, str]:
    return f"{row['settle_s']:.1f} s", f"{row['downtime_s']:.1f} s"


def _by_event(points: list[Result]) -> list[Result]:
    """A row for each event and way, with the longest times; a few points are of no event."""
    groups: defaultdict[tuple[str, str], list[Result]] = defaultdict(list)
    for one in points:
        event, _, way = one["phase"].partition(" ")
        name = f"`{event.partition('.')[0]}`" if "." in event else "elsewhere"
        groups[f"{name} {way}".replace(" (plain)", ""), one["side"]].append(one)
    return [
        {
            "phase": event,
            "side": side,
            "ways": len(ones),
            "outcome": " or ".join(sorted({one["outcome"] for one in ones})),
            "settle_s": max(one["settle_s"] for one in ones),
            "downtime_s": max(one["downtime_s"] for one in ones),
        }
        for (event, side), ones in groups.items()
    ]


def _left_out() -> list[str]:
    reasons: defaultdict[str, list[str]] = defaultdict(list)
    for cell in CELLS:
        if why := why_not(cell):
            place = f"{cell.fault}, {cell.phase}, {cell.side}"
            if cell.side != "both":
                reasons[why].append(place)
            else:
                reasons.setdefault(why, [])
    return [
        f"- {why}" + (f": {'; '.join(places)}" if places else "") for why, places in reasons.items()
    ]


def redrawn(text: str) -> str:
    """The page with its tables made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{tables(results())}\n{END}{after}"


def main() -> int:
    """Rewrite, or check."""
    text = PAGE.read_text(encoding="utf-8")
    new = redrawn(text)
    if "--check" in sys.argv[1:]:
        return int(new != text)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
