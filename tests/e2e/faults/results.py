"""What the cases came to: kept as JSON where BMIG_FAULT_RESULTS says, for docs/faults.py."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

VARIABLE = "BMIG_FAULT_RESULTS"


@dataclass(frozen=True)
class Result:
    """Where the guest is in the end, how long that took, and how long it was silent."""

    outcome: str
    settle_s: float
    downtime_s: float


class Name(NamedTuple):
    """A case: what happens, when, on which side."""

    fault: str
    phase: str
    side: str


def keep(name: Name, result: Result) -> None:
    """Add to the file, if one is wanted."""
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return
    path = Path(wanted)
    rows = json.loads(path.read_text()) if path.exists() else []
    rows = [row for row in rows if tuple(row[part] for part in Name._fields) != tuple(name)]
    rows.append({**name._asdict(), **asdict(result)})
    rows.sort(key=lambda row: tuple(row[part] for part in Name._fields))
    for row in rows:
        row["settle_s"], row["downtime_s"] = round(row["settle_s"], 2), round(row["downtime_s"], 2)
    path.write_text(json.dumps(rows, indent=1) + "\n")
