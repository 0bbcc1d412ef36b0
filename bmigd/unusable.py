"""Why SQLite cannot use a file: its disk, its rights, or what is in it. Pure.

Rule: only what is in the file is damage, since whoever reads "damaged" may replace it.
"""

import sqlite3

from bmigd.words import why

ON_THE_WAY = {
    sqlite3.SQLITE_FULL: "its disk is full",
    sqlite3.SQLITE_READONLY: "it may not be written: it is another user's, or mounted read-only",
    sqlite3.SQLITE_CANTOPEN: "it, or a file beside it, cannot be made or opened: its directory is"
    " another user's, mounted read-only, or full",
    sqlite3.SQLITE_IOERR: "its disk fails, or is full",
    sqlite3.SQLITE_PERM: "it may not be read",
    sqlite3.SQLITE_BUSY: "another program holds it",
    sqlite3.SQLITE_LOCKED: "another program holds it",
}


def obstacle(error: Exception) -> str:
    """What keeps us from the file, in words; "" if it is what is in it."""
    if isinstance(error, OSError):
        return why(error)
    # An error that is ours has no code, and is about damage.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    return ON_THE_WAY.get(code, "")
