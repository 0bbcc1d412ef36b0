"""What happened in migrations: events and reports, for people.

Nothing here decides anything: ownership lives in the journal, so losing this file loses history
and nothing else; a damaged one is put aside. Writes are ordered and cheap (synchronous=NORMAL). Not
for the event loop: one thread at a time, see migration/archive.py.
"""

import json
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from bmigd.errors import LocalFault
from bmigd.unusable import obstacle

log = structlog.get_logger()

_TABLES = """
CREATE TABLE IF NOT EXISTS migrations (
    id TEXT PRIMARY KEY, guest TEXT NOT NULL, began_at_ms INTEGER NOT NULL,
    content TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS migrations_by_time ON migrations (began_at_ms);
CREATE TABLE IF NOT EXISTS events (
    id TEXT NOT NULL, sequence INTEGER NOT NULL, content TEXT NOT NULL,
    PRIMARY KEY (id, sequence)) STRICT;
"""
KEEP_MIGRATIONS = 10_000


class History:
    """Events and last known pictures of migrations, as JSON."""

    def __init__(self, path: Path, keep_migrations: int = KEEP_MIGRATIONS) -> None:
        """LocalFault (DIRECTORY_UNUSABLE) for what is no damage: a full disk, a file of another."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._keep_migrations = keep_migrations
        try:
            self._connection = _opened(path)
        except (sqlite3.DatabaseError, OSError) as error:
            if why := obstacle(error):  # which says nothing of the file
                raise LocalFault(
                    "DIRECTORY_UNUSABLE",
                    f"{path} cannot be used: {why}",
                    "mend that, or start bmigd as the user that it belongs to, and start it again",
                ) from error
            aside = path.with_name(f"{path.name}.damaged")
            log.warning("history damaged", error=str(error), kept_as=str(aside))
            _put_aside(path, aside)
            self._connection = _opened(path)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def save(
        self, migration_id: str, guest: str, began_at_ms: int, content: Mapping[str, Any]
    ) -> None:
        """Keep the latest picture of a migration; beyond a bound the oldest of those guests that
        have most are forgotten.
        """
        with self._connection as connection:
            written = connection.execute(
                "UPDATE migrations SET content = ? WHERE id = ?",
                (json.dumps(content), migration_id),
            )
            if written.rowcount == 0:
                connection.execute(
                    "INSERT INTO migrations VALUES (?, ?, ?, ?)",
                    (migration_id, guest, began_at_ms, json.dumps(content)),
                )
                self._forget_oldest(connection)

    def add_event(self, migration_id: str, sequence: int, content: Mapping[str, Any]) -> None:
        """Keep one event."""
        with self._connection as connection:
            connection.execute(
                "INSERT OR REPLACE INTO events VALUES (?, ?, ?)",
                (migration_id, sequence, json.dumps(content)),
            )

    def find(self, beginning: str, limit: int) -> list[dict[str, Any]]:
        """Pictures of migrations whose id begins so, at most that many."""
        rows = self._connection.execute(
            "SELECT content FROM migrations WHERE substr(id, 1, ?) = ? LIMIT ?",
            (len(beginning), beginning, limit),
        )
        return [json.loads(content) for (content,) in rows]

    def open_ids(self) -> set[str]:
        """Migrations whose last picture is not that of an end."""
        rows = self._connection.execute(
            "SELECT id FROM migrations WHERE json_extract(content, '$.ended_at_ms') = 0"
        )
        return {migration_id for (migration_id,) in rows}

    def newest(self, wanted: Callable[[str], bool], limit: int) -> list[dict[str, Any]]:
        """Pictures of wanted guests, newest first, at most that many."""
        rows = self._connection.execute(
            "SELECT guest, content FROM migrations ORDER BY began_at_ms DESC, id"
        )
        found: list[dict[str, Any]] = []
        for guest, content in rows:
            if len(found) == limit:
                break
            if wanted(guest):
                found.append(json.loads(content))
        return found

    def events(self, migration_id: str) -> list[dict[str, Any]]:
        """Events of one migration, in order."""
        rows = self._connection.execute(
            "SELECT content FROM events WHERE id = ? ORDER BY sequence", (migration_id,)
        )
        return [json.loads(content) for (content,) in rows]

    def _forget_oldest(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute(
            "SELECT id FROM (SELECT id, began_at_ms, row_number() OVER"
            " (PARTITION BY guest ORDER BY began_at_ms DESC) AS age FROM migrations)"
            " ORDER BY age, began_at_ms DESC LIMIT -1 OFFSET ?",
            (self._keep_migrations,),
        ).fetchall()
        connection.executemany("DELETE FROM migrations WHERE id = ?", rows)
        connection.executemany("DELETE FROM events WHERE id = ?", rows)


def _opened(path: Path) -> sqlite3.Connection:
    """With its tables; sqlite3.DatabaseError if the file is none of ours, or damaged."""
    path.touch(mode=0o600)
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_TABLES)
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


def _put_aside(path: Path, aside: Path) -> None:
    """What there was may still be read by somebody; its log would be taken for the new file's."""
    path.replace(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
