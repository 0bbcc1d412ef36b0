"""Judge a recorded run: `python -m tests.judge OBSERVED.jsonl --rom vm1=FILE --journal host1=FILE`.

Prints what is wrong, a line each, and what was looked at. Exit status: 0 nothing wrong, 1 wrong.
"""

import argparse
import sqlite3
import sys
from pathlib import Path

from tests.judge import observed
from tests.judge.verdict import Entry, judge
from tests.oracle import params_of


def journal(node: str, path: Path) -> list[Entry]:
    """What a node's journal says, read without writing."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        rows = connection.execute("SELECT id, side, guest, state FROM migrations").fetchall()
    finally:
        connection.close()
    return [Entry(node, *row) for row in rows]


def _pairs(values: list[str]) -> dict[str, Path]:
    return {name: Path(path) for name, _, path in (value.partition("=") for value in values)}


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(prog="python -m tests.judge", description=__doc__)
    parser.add_argument("observed", type=Path)
    parser.add_argument("--rom", action="append", default=[], metavar="GUEST=FILE")
    parser.add_argument("--journal", action="append", default=[], metavar="NODE=FILE")
    given = parser.parse_args()
    params = {guest: params_of(path.read_bytes()) for guest, path in _pairs(given.rom).items()}
    entries = [
        entry for node, path in _pairs(given.journal).items() for entry in journal(node, path)
    ]
    found = judge(observed.read(given.observed), params, entries)
    for problem in found.problems:
        sys.stdout.write(f"WRONG: {problem}\n")
    sys.stdout.write(
        f"{found.heartbeats} heartbeats of {found.lives} lives and {found.boots} boots,"
        f" {found.migrations} migrations: {len(found.problems)} problems\n"
    )
    return 1 if found.problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
