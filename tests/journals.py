"""A journal as `bmigd init` makes it, and a migration to write down in it."""

from pathlib import Path

from bmigd import newjournal
from bmigd.journal import Record

RECORD = Record("m1", "source", "web1", "host2", 3, "MIGRATING", "theirs", 'name = "web1"', "")


def new_journal(directory: Path) -> Path:
    """Nothing is in it."""
    made = directory / "state" / "journal.db"
    newjournal.create(made)
    return made
