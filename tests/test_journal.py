"""What the journal wrote is there after the process is gone; a journal is never made by the way and
never replaced; epochs never fall.
"""

import contextlib
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bmigd import newjournal
from bmigd.errors import LocalFault
from bmigd.journal import Journal
from bmigd.mark import mark_path
from tests.journals import RECORD, new_journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal with nothing in it."""
    return new_journal(tmp_path)


def reopened(path: Path) -> Journal:
    """What a restarted daemon sees."""
    return Journal(path)


def test_a_journal_is_private_and_has_an_incarnation_of_its_own(tmp_path: Path) -> None:
    one, other = tmp_path / "a" / "j", tmp_path / "b" / "j"
    incarnations = {newjournal.create(one), newjournal.create(other)}
    assert len(incarnations) == 2
    assert one.stat().st_mode & 0o777 == 0o600
    opened = Journal(one)
    assert opened.incarnation in incarnations
    opened.close()


def test_a_journal_is_never_made_over_another(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(LocalFault) as fault:
        newjournal.create(path)
    assert fault.value.reason == "JOURNAL_EXISTS"
    assert path.read_bytes() == before


LIMITED = """
import resource, sys
from pathlib import Path
from bmigd import journal, newjournal
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    newjournal.create(Path(sys.argv[1]))
finally:  # whoever measures coverage writes files too
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""


@pytest.mark.parametrize("most_bytes", [0, 40, 4096, 8192, 16384])
def test_a_journal_that_cannot_be_made_leaves_nothing(tmp_path: Path, most_bytes: int) -> None:
    """A file that may not grow is to its writer what a full disk is."""
    path = tmp_path / "state" / "journal.db"
    command = [sys.executable, "-c", LIMITED, str(path), str(most_bytes)]
    made = subprocess.run(command, capture_output=True, text=True)
    assert made.stderr.splitlines()[-1].startswith("bmigd.errors.LocalFault: JOURNAL_UNWRITABLE")
    assert list(path.parent.iterdir()) == []
    newjournal.create(path)
    Journal(path).close()


def test_what_a_crash_left_of_a_journal_is_in_nobodys_way(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    for name in ("journal.db.new", "journal.db.new-wal", "journal.db.new.mark"):
        (tmp_path / name).write_text("half")
    newjournal.create(path)
    assert {one.name for one in tmp_path.iterdir()} == {"journal.db", "journal.db.mark"}
    Journal(path).close()


@pytest.mark.parametrize(
    "left", [b"", b"some words\n", None], ids=["empty", "strange", "as it was"]
)
def test_a_journal_is_not_made_beside_the_mark_of_one_that_was_lost(
    path: Path, left: bytes | None
) -> None:
    with contextlib.closing(Journal(path)) as opened:
        opened.put(RECORD)
    path.unlink()
    if left is not None:
        mark_path(path).write_bytes(left)
    kept = mark_path(path).read_bytes()
    with pytest.raises(LocalFault, match="is gone") as fault:
        newjournal.create(path)
    assert fault.value.reason == "JOURNAL_LOST"
    assert not path.exists()
    assert mark_path(path).read_bytes() == kept
    mark_path(path).unlink()
    newjournal.create(path)


def test_what_sqlite_left_of_a_lost_journal_is_not_brought_into_a_new_one(path: Path) -> None:
    with contextlib.closing(Journal(path)) as opened:
        opened.put(RECORD)
        left = {one: one.read_bytes() for one in path.parent.glob("*-wal")}
    assert left
    path.unlink()
    mark_path(path).unlink()
    for one, content in left.items():  # as after a power failure
        one.write_bytes(content)
    with pytest.raises(LocalFault, match="is gone") as fault:
        newjournal.create(path)
    assert fault.value.reason == "JOURNAL_LOST"
    assert str(next(iter(left))) in fault.value.message


def test_a_journal_in_which_nothing_was_written_may_be_made_again(path: Path) -> None:
    path.unlink()
    newjournal.create(path)


def test_a_missing_journal_is_never_made_by_opening_it(tmp_path: Path) -> None:
    with pytest.raises(LocalFault) as fault:
        Journal(tmp_path / "journal.db")
    assert fault.value.reason == "JOURNAL_MISSING"
    assert list(tmp_path.iterdir()) == []


def test_records_come_back_as_they_were_written(path: Path) -> None:
    opened = Journal(path)
    written = opened.put(RECORD)
    assert replace(written, began_at=0.0, changed_at=0.0) == RECORD
    assert 0 < written.began_at <= written.changed_at
    incarnation = opened.incarnation
    opened.close()
    again = reopened(path)
    assert again.get("m1") == written
    assert again.all() == [written]
    assert again.incarnation == incarnation
    assert again.get("m2") is None
    again.close()


def test_a_state_is_on_disk_when_the_call_returns(path: Path) -> None:
    """Another process writes and is gone without closing anything."""
    program = (
        "import os, sys; from pathlib import Path; from bmigd.journal import Journal, Record\n"
        "opened = Journal(Path(sys.argv[1]))\n"
        "opened.put(Record('m1', 'source', 'web1', 'host2', 3, 'LET_GO'))\n"
        "opened.raise_epoch('web1', 3)\n"
        "os._exit(9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(path)])
    assert ended.returncode == 9
    again = reopened(path)
    record = again.get("m1")
    assert record
    assert record.state == "LET_GO"
    assert again.epoch("web1") == 3
    again.close()


def test_a_state_is_written_when_no_more_files_can_be_opened(path: Path) -> None:
    program = (
        "import os, resource, sys; from pathlib import Path\n"
        "from bmigd.journal import Journal, Record\n"
        "opened = Journal(Path(sys.argv[1]))\n"
        "opened.put(Record('m1', 'source', 'web1', 'host2', 3, 'MIGRATING'))\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n"
        "opened.put(Record('m1', 'source', 'web1', 'host2', 3, 'LET_GO'))\n"
        "assert opened.progress[1] == 2\n"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)
    again = reopened(path)
    assert again.marked == again.progress
    record = again.get("m1")
    assert record
    assert record.state == "LET_GO"
    again.close()


def test_a_mark_that_was_taken_away_is_written_anew(path: Path) -> None:
    opened = Journal(path)
    mark_path(path).unlink()
    opened.put(RECORD)
    assert opened.marked == opened.progress
    opened.close()


def test_writes_wait_for_the_disk(path: Path) -> None:
    opened = Journal(path)
    (synchronous,) = opened._connection.execute("PRAGMA synchronous").fetchone()
    (mode,) = opened._connection.execute("PRAGMA journal_mode").fetchone()
    assert (synchronous, mode) == (2, "wal")  # FULL
    opened.close()


def test_a_new_state_changes_what_may_change_and_nothing_else(path: Path) -> None:
    opened = Journal(path)
    first = opened.put(RECORD)
    changed = replace(
        RECORD,
        state="ABORTED",
        why="PEER_LOST: gone",
        peer_incarnation="new",
        guest="web9",
        peer="host9",
        epoch=99,
        side="destination",
        definition="other",
    )
    second = opened.put(changed)
    assert (second.state, second.why, second.peer_incarnation) == (
        "ABORTED",
        "PEER_LOST: gone",
        "new",
    )
    kept = ("id", "side", "guest", "peer", "epoch", "definition", "began_at")
    assert [getattr(second, name) for name in kept] == [getattr(first, name) for name in kept]
    opened.close()


def test_a_definition_may_be_dropped(path: Path) -> None:
    opened = Journal(path)
    opened.put(RECORD)
    assert opened.put(replace(RECORD, definition="")).definition == ""
    opened.close()


def test_migrations_are_listed_oldest_first_though_the_clock_went_back(path: Path) -> None:
    opened = Journal(path)
    for migration_id, began_at in (("m1", 2e9), ("m2", 1e9)):
        opened.put(replace(RECORD, id=migration_id, began_at=began_at))
    opened.put(replace(RECORD, id="m1", state="ABORTED"))
    assert [record.id for record in opened.all()] == ["m1", "m2"]
    opened.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=6))
def test_epochs_never_fall(path: Path, epochs: list[int]) -> None:
    opened = Journal(path)
    highest = opened.epoch("web1")
    for epoch in epochs:
        opened.raise_epoch("web1", epoch)
        highest = max(highest, epoch)
        assert opened.epoch("web1") == highest
    assert opened.epoch("web2") == 0
    opened.close()


def test_a_resolution_is_recorded_with_who_made_it(path: Path) -> None:
    opened = Journal(path)
    opened.note_resolution("m1", "alice")
    opened.close()
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT id, operator FROM resolutions").fetchall()
    connection.close()
    assert rows == [("m1", "alice")]


def test_the_mark_tells_how_far_the_journal_has_come(path: Path) -> None:
    opened = Journal(path)
    assert opened.marked == opened.progress == (opened.incarnation, 0)
    opened.put(RECORD)
    opened.raise_epoch("web1", 3)
    assert opened.marked == opened.progress == (opened.incarnation, 2)
    opened.close()


def test_a_journal_that_takes_nothing_is_a_fault_and_what_it_says_stays(path: Path) -> None:
    opened = Journal(path)
    opened.put(RECORD)
    opened._connection.execute("PRAGMA query_only = ON")  # as a disk mounted read-only would be
    with pytest.raises(LocalFault) as fault:
        opened.put(replace(RECORD, state="LET_GO"))
    assert fault.value.reason == "JOURNAL_UNWRITABLE"
    with pytest.raises(LocalFault):
        opened.raise_epoch("web1", 5)
    record = opened.get("m1")
    assert record
    assert record.state == "MIGRATING"
    opened.close()


def test_a_side_that_does_not_exist_is_never_written(path: Path) -> None:
    opened = Journal(path)
    with pytest.raises(LocalFault):
        opened.put(replace(RECORD, side="both"))
    assert opened.all() == []
    opened.close()


def test_only_what_was_refused_or_aborted_long_ago_is_forgotten(path: Path) -> None:
    opened = Journal(path)
    opened.put(replace(RECORD, id="aborted", state="ABORTED"))
    opened.put(replace(RECORD, id="resolved", state="RECLAIMED"))
    for state in ("REFUSED", "RUNNING", "RETURNED"):
        opened.put(replace(RECORD, id=state, side="destination", state=state))
    opened.put(replace(RECORD, id="pending", side="destination", state="REFUSED", pending="x"))
    opened.put(replace(RECORD, id="source", state="REFUSED"))
    opened.forget_refused(1e12)
    assert len(opened.all()) == 7
    opened.forget_refused(-1)
    left = {"RUNNING", "RETURNED", "pending", "source", "resolved"}
    assert {record.id for record in opened.all()} == left
    opened.close()
