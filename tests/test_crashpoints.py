"""Every point where a daemon under test can be made to die has one name and one place; and the
clock that people set decides nothing.
"""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import bmigd
from bmigd import crashpoints
from bmigd.migration.steps import crash_points

SOURCES = sorted(Path(bmigd.__file__).parent.rglob("*.py"))
WALL_CLOCK = {"time.time", "time.time_ns", "datetime.now", "datetime.today", "datetime.utcnow"}
# Where the time of day is told to people, or compared with what a certificate says.
TOLD = {"__main__.py", "daemon.py", "journal.py", "node.py", "recorder.py"}
TOLD |= {"certificates.py", "expiry.py"}


def reached() -> list[str]:
    """Names that the code itself writes out."""
    return [
        name
        for path in SOURCES
        for name in re.findall(r'reach\("([a-z._]+)"\)', path.read_text(encoding="utf-8"))
    ]


def test_every_point_has_one_name_and_one_place() -> None:
    assert sorted(reached()) == sorted(crashpoints.OTHERS)
    every = [*crash_points(), *crashpoints.OTHERS, crashpoints.MARK]
    assert len(set(every)) == len(every)


def test_a_point_does_nothing_unless_it_was_asked_for() -> None:
    assert crashpoints.VARIABLE not in os.environ
    crashpoints.reach("source.open")


def test_a_point_ends_the_process_the_time_it_was_asked_for(tmp_path: Path) -> None:
    order = tmp_path / "order"
    order.write_text("source.open 3 SIGKILL")
    program = (
        "from bmigd.crashpoints import reach\n"
        "for count in range(5): print(count, flush=True); reach('source', 'open'); reach('other')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, crashpoints.VARIABLE: str(order)},
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stdout.split()) == (-9, ["0", "1", "2"])
    assert not order.exists()


def test_only_what_is_told_to_people_asks_for_the_time_of_day() -> None:
    asking = {
        path.name
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in WALL_CLOCK
    }
    assert asking <= TOLD
