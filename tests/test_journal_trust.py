"""A journal that cannot be trusted is never used: a damaged one, an old copy, one that is not the
node's own, one of another schema.
"""

import hashlib
import sqlite3
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bmigd import journal
from bmigd.errors import LocalFault
from bmigd.journal import Journal
from bmigd.mark import mark_path
from bmigd.migration.ledger import Ledger
from tests import needs
from tests.journals import RECORD, new_journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal with nothing in it."""
    return new_journal(tmp_path)


def filled(path: Path) -> int:
    """Give the journal some pages; its size."""
    opened = Journal(path)
    for number in range(30):
        opened.put(replace(RECORD, id=f"m{number}", definition="x" * 2000))
    opened.close()
    return path.stat().st_size


@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.3, 0.9])
def test_a_journal_that_is_cut_is_damaged(path: Path, fraction: float) -> None:
    size = filled(path)
    with path.open("r+b") as file:
        file.truncate(int(size * fraction))
    with pytest.raises(LocalFault) as fault:
        Journal(path)
    assert fault.value.reason == "JOURNAL_DAMAGED"
    assert "docs/FAILURES.md" in fault.value.advice


@pytest.mark.parametrize("page", range(6))
def test_a_journal_with_a_page_overwritten_is_damaged(path: Path, page: int) -> None:
    filled(path)
    with path.open("r+b") as file:
        file.seek(page * 4096)
        file.write(b"\xa5" * 4096)
    with pytest.raises(LocalFault) as fault:
        Journal(path)
    assert fault.value.reason == "JOURNAL_DAMAGED"


def test_a_file_that_is_something_else_is_a_damaged_journal(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("not a database, " * 500)
    other = tmp_path / "other"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE things (a)")
    connection.commit()
    connection.close()
    for path in (text, other):
        with pytest.raises(LocalFault) as fault:
            Journal(path)
        assert fault.value.reason == "JOURNAL_DAMAGED"


def test_a_journal_without_its_incarnation_is_damaged(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM journal")
    connection.commit()
    connection.close()
    with pytest.raises(LocalFault) as fault:
        Journal(path)
    assert fault.value.reason == "JOURNAL_DAMAGED"


def test_an_old_copy_of_a_journal_is_not_used(path: Path, tmp_path: Path) -> None:
    opened = Journal(path)
    opened.put(RECORD)
    opened.close()
    copy = path.read_bytes()
    opened = Journal(path)
    opened.put(replace(RECORD, state="LET_GO"))
    opened.close()
    path.write_bytes(copy)
    with ThreadPoolExecutor(1) as thread, pytest.raises(LocalFault) as fault:
        Ledger(Journal(path), thread)
    assert fault.value.reason == "JOURNAL_OLD"


@pytest.mark.parametrize("content", ["", "another 00000000000000000000\n", "neither"])
def test_a_journal_without_a_mark_of_its_own_is_not_used(path: Path, content: str) -> None:
    mark_path(path).write_text(content)
    with ThreadPoolExecutor(1) as thread, pytest.raises(LocalFault) as fault:
        Ledger(Journal(path), thread)
    assert fault.value.reason == "JOURNAL_FOREIGN"


def test_whoever_changes_the_tables_raises_the_schema() -> None:
    known = {4: "e7ca50ba38ad841b"}
    assert hashlib.sha256(journal.TABLES.encode()).hexdigest()[:16] == known[journal.SCHEMA]


def test_a_journal_of_another_schema_is_left_alone(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE journal SET schema = 99")
    connection.commit()
    connection.close()
    with pytest.raises(LocalFault, match="has schema 99, this daemon needs 4") as fault:
        Journal(path)
    assert fault.value.reason == "JOURNAL_SCHEMA"


def refusal(path: Path) -> LocalFault:
    """Why a journal cannot be used; it is whole, and so it is not called damaged."""
    with pytest.raises(LocalFault) as fault:
        Journal(path)
    assert fault.value.reason == "JOURNAL_UNWRITABLE"
    assert "docs/FAILURES.md" not in fault.value.advice
    assert "JOURNAL_DAMAGED" not in str(fault.value)
    return fault.value


def test_a_journal_that_another_program_holds_is_not_damaged(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN EXCLUSIVE")
        assert "another program holds it" in refusal(path).message
    Journal(path).close()


def test_a_journal_on_a_file_system_that_is_read_only_is_not_damaged(path: Path) -> None:
    with mounted_read_only(path.parent):
        assert "mounted read-only" in refusal(path).message
    Journal(path).close()


def test_a_journal_that_is_a_directory_is_not_damaged(tmp_path: Path) -> None:
    assert "cannot be made or opened" in refusal(tmp_path).message


@contextmanager
def mounted_read_only(directory: Path) -> Iterator[None]:
    """As after an error of its disk (needs root)."""
    needs.root("mount")
    subprocess.run([needs.program("mount"), "--bind", directory, directory], check=True)
    try:
        subprocess.run([needs.program("mount"), "-o", "remount,bind,ro", directory], check=True)
        yield
    finally:
        subprocess.run([needs.program("umount"), "--lazy", directory], check=True)
