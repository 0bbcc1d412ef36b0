"""The ownership journal: who owns which guest, durable before anything that it allows is done.

SQLite in WAL mode with synchronous=FULL: when a call returns, the record survives a power failure.
A journal is made once (`bmigd init`) and has an incarnation; the daemon never makes one by itself,
because a forgotten RUNNING could become a second copy of a guest. An older copy has forgotten too:
so how far the journal has come is kept once more outside of it, in its mark, and whoever opens it
compares (migration/ledger.py).

Every method blocks on the disk; call them through the daemon's journal thread. Which state may
follow which is decided in migration/handoff.py, not here.
"""

import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bmigd.crashpoints import MARK, reach
from bmigd.errors import LocalFault
from bmigd.mark import Mark, Progress, mark_path
from bmigd.unusable import obstacle

SCHEMA = 4
BESIDE = ("-wal", "-shm", "-journal")  # files that SQLite has beside its own
TABLES = """
CREATE TABLE journal (
    incarnation TEXT NOT NULL,
    schema INTEGER NOT NULL,
    made_at REAL NOT NULL,
    writes INTEGER NOT NULL
);
CREATE TABLE migrations (
    id TEXT PRIMARY KEY,
    side TEXT NOT NULL CHECK (side IN ('source', 'destination')),
    guest TEXT NOT NULL,
    peer TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    state TEXT NOT NULL,
    peer_incarnation TEXT NOT NULL,
    definition TEXT NOT NULL,
    why TEXT NOT NULL,
    began_at REAL NOT NULL,
    changed_at REAL NOT NULL,
    pending TEXT NOT NULL
) STRICT;
CREATE TABLE epochs (guest TEXT PRIMARY KEY, epoch INTEGER NOT NULL) STRICT;
CREATE TABLE resolutions (id TEXT NOT NULL, operator TEXT NOT NULL, at REAL NOT NULL) STRICT;
"""


@dataclass(frozen=True)
class Record:
    """What the journal says of one migration on one side."""

    id: str
    side: str  # "source" or "destination"
    guest: str
    peer: str  # the other node
    epoch: int  # the guest's epoch once it is handed over
    state: str
    peer_incarnation: str = ""  # the other node's journal; "" until it is known
    definition: str = ""  # the guest, as TOML
    why: str = ""  # why it was refused, returned or aborted: "REASON: message"
    began_at: float = 0.0  # seconds since 1970
    changed_at: float = 0.0
    pending: str = ""  # the change of state whose steps are not all done


def _make_durable(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 64")  # 256 KiB: the log stays small
    connection.execute("PRAGMA foreign_keys = ON")


def lay_out(connection: sqlite3.Connection, incarnation: str) -> None:
    """The tables of a new journal, in an empty file; see newjournal.py, which alone makes one."""
    _make_durable(connection)
    connection.executescript(TABLES)
    with connection:
        connection.execute(
            "INSERT INTO journal VALUES (?, ?, ?, 0)", (incarnation, SCHEMA, time.time())
        )


class Journal:
    """An existing journal. LocalFault (JOURNAL_…) when it is missing, damaged or unwritable."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if self._is_missing():
            raise LocalFault(
                "JOURNAL_MISSING",
                f"there is no journal at {path}",
                "on a new node run `bmigd init`; on an old one restore nothing and make no new"
                " journal before you have read docs/FAILURES.md: guests may be in doubt",
            )
        self._connection = self._connected()
        try:
            _make_durable(self._connection)
            (verdict,) = self._connection.execute("PRAGMA quick_check").fetchone()
            self.incarnation, schema = self._connection.execute(
                "SELECT incarnation, schema FROM journal"
            ).fetchone()
            if schema == SCHEMA:
                self._writes = self._count()
        except (sqlite3.Error, TypeError) as error:
            self._connection.close()
            raise self._unusable(error) from error
        if verdict != "ok":
            raise self._damaged(verdict)
        if schema != SCHEMA:
            raise LocalFault(
                "JOURNAL_SCHEMA",
                f"{path} has schema {schema}, this daemon needs {SCHEMA}",
                "it is of another release of bmigd: install that one, and let every migration end"
                " before another one is installed",
            )
        self._mark = Mark(mark_path(path))

    def close(self) -> None:
        """Close the files."""
        self._connection.close()
        self._mark.close()

    @property
    def progress(self) -> Progress:
        """How far it has come."""
        return self.incarnation, self._writes

    @property
    def marked(self) -> Progress | None:
        """How far it had come by its mark; None if that is missing or unreadable."""
        return self._mark.read()

    def get(self, migration_id: str) -> Record | None:
        """One migration, or None."""
        rows = self._select("WHERE id = ?", migration_id)
        return rows[0] if rows else None

    def all(self) -> list[Record]:
        """Every migration, oldest first."""
        return self._select("ORDER BY rowid")  # a clock may have gone back

    def newest(self, guest: str, states: Sequence[str]) -> Record | None:
        """A guest's newest migration in one of these states, or None."""
        marks = ", ".join("?" * len(states))
        clause = f"WHERE guest = ? AND state IN ({marks}) ORDER BY rowid DESC LIMIT 1"
        rows = self._select(clause, guest, *states)
        return rows[0] if rows else None

    def put(self, record: Record) -> Record:
        """Write a new migration or its new state; durable on return."""
        now = time.time()
        self._write(
            lambda: self._connection.execute(
                "INSERT INTO migrations VALUES (?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE"
                " SET state = excluded.state, peer_incarnation = excluded.peer_incarnation,"
                " why = excluded.why, changed_at = excluded.changed_at,"
                " pending = excluded.pending,"  # a definition may be dropped, never changed
                " definition = iif(excluded.definition = '', '', definition)",
                (
                    *(record.id, record.side, record.guest, record.peer, record.epoch),
                    *(record.state, record.peer_incarnation, record.definition, record.why),
                    *(record.began_at or now, now, record.pending),
                ),
            )
        )
        written = self.get(record.id)
        assert written
        return written

    def forget_refused(self, age_s: float) -> None:
        """Drop receptions that were refused so long ago, where an unknown one is answered the same,
        and migrations that were aborted before the guest was let go.
        """
        self._write(
            lambda: self._connection.execute(
                "DELETE FROM migrations WHERE (side, state) IN"
                " (VALUES ('destination', 'REFUSED'), ('source', 'ABORTED'))"
                " AND pending = '' AND changed_at < ?",
                (time.time() - age_s,),
            )
        )

    def epoch(self, guest: str) -> int:
        """How often the guest has been handed over, as far as this node knows."""
        found = self._connection.execute("SELECT epoch FROM epochs WHERE guest = ?", (guest,))
        row = found.fetchone()
        return int(row[0]) if row else 0

    def raise_epoch(self, guest: str, epoch: int) -> None:
        """Remember an epoch; it never falls."""
        self._write(
            lambda: self._connection.execute(
                "INSERT INTO epochs VALUES (?, ?) ON CONFLICT (guest)"
                " DO UPDATE SET epoch = max(epoch, excluded.epoch)",
                (guest, epoch),
            )
        )

    def probe(self) -> None:
        """Write nothing but that there was a write; LocalFault as long as that cannot be done."""
        self._write(lambda: None)

    def note_resolution(self, migration_id: str, operator: str) -> None:
        """Record who settled a migration in doubt."""
        self._write(
            lambda: self._connection.execute(
                "INSERT INTO resolutions VALUES (?, ?, ?)", (migration_id, operator, time.time())
            )
        )

    def is_resolved(self, migration_id: str) -> bool:
        """Whether somebody settled it."""
        found = self._connection.execute(
            "SELECT 1 FROM resolutions WHERE id = ? LIMIT 1", (migration_id,)
        )
        return found.fetchone() is not None

    def _select(self, clause: str, *values: object) -> list[Record]:
        columns = "id, side, guest, peer, epoch, state, peer_incarnation, definition, why"
        query = f"SELECT {columns}, began_at, changed_at, pending FROM migrations {clause}"  # noqa: S608 - clauses are literals of this file
        try:
            return [Record(*row) for row in self._connection.execute(query, values)]
        except sqlite3.Error as error:
            raise self._damaged(error) from error

    def _write(self, statement: Callable[[], object]) -> None:
        try:
            with self._connection:
                statement()
                self._connection.execute("UPDATE journal SET writes = writes + 1")
            self._writes = self._count()
            reach(MARK)
            self._mark.write(self.progress)
        except (sqlite3.Error, OSError) as error:
            raise LocalFault(
                "JOURNAL_UNWRITABLE",
                f"cannot write {self._path}: {obstacle(error) or error}",
                "free space on its disk or mend the disk; what waits for it goes on by itself",
            ) from error

    def _count(self) -> int:
        return int(self._connection.execute("SELECT writes FROM journal").fetchone()[0])

    def _connected(self) -> sqlite3.Connection:
        try:
            return sqlite3.connect(self._path, check_same_thread=False)
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _is_missing(self) -> bool:
        try:
            self._path.stat()
        except FileNotFoundError:
            return True
        except OSError as error:
            raise self._unusable(error) from error
        return False

    def _unusable(self, error: Exception) -> LocalFault:
        if why := obstacle(error):
            return LocalFault(
                "JOURNAL_UNWRITABLE",
                f"{self._path} cannot be used: {why}",
                "mend that, or start bmigd as the user that the journal belongs to, and start it"
                " again; guests go on meanwhile. Nothing says that the journal is damaged",
            )
        return self._damaged(error)

    def _damaged(self, cause: object) -> LocalFault:
        return LocalFault(
            "JOURNAL_DAMAGED",
            f"{self._path} cannot be used: {cause}",
            "do not replace it: read docs/FAILURES.md, guests may be in doubt",
        )
