"""What happened in migrations: events and reports, for people.

Nothing here decides anything: ownership lives in the journal, so losing this file loses history
and nothing else. Writes are ordered and cheap (synchronous=NORMAL).
"""

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_TABLES = """
CREATE TABLE IF NOT EXISTS migrations (
    id TEXT PRIMARY KEY, began_at_ms INTEGER NOT NULL, content TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS events (
    id TEXT NOT NULL, sequence INTEGER NOT NULL, content TEXT NOT NULL,
    PRIMARY KEY (id, sequence)) STRICT;
"""
KEEP_MIGRATIONS = 10_000


class History:
    """Events and last known pictures of migrations, as JSON."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self._connection = sqlite3.connect(path, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(_TABLES)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def save(self, migration_id: str, began_at_ms: int, content: Mapping[str, Any]) -> None:
        """Keep the latest picture of a migration; the oldest beyond a bound are forgotten."""
        with self._connection as connection:
            connection.execute(
                "INSERT INTO migrations VALUES (?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET content = excluded.content",
                (migration_id, began_at_ms, json.dumps(content)),
            )
            connection.execute(
                "DELETE FROM migrations WHERE id IN (SELECT id FROM migrations"
                " ORDER BY began_at_ms DESC LIMIT -1 OFFSET ?)",
                (KEEP_MIGRATIONS,),
            )
            connection.execute("DELETE FROM events WHERE id NOT IN (SELECT id FROM migrations)")

    def add_event(self, migration_id: str, sequence: int, content: Mapping[str, Any]) -> None:
        """Keep one event."""
        with self._connection as connection:
            connection.execute(
                "INSERT OR REPLACE INTO events VALUES (?, ?, ?)",
                (migration_id, sequence, json.dumps(content)),
            )

    def migrations(self) -> list[dict[str, Any]]:
        """Every picture, newest first."""
        rows = self._connection.execute("SELECT content FROM migrations ORDER BY began_at_ms DESC")
        return [json.loads(content) for (content,) in rows]

    def events(self, migration_id: str) -> list[dict[str, Any]]:
        """Events of one migration, in order."""
        rows = self._connection.execute(
            "SELECT content FROM events WHERE id = ? ORDER BY sequence", (migration_id,)
        )
        return [json.loads(content) for (content,) in rows]
