"""A node's journal is made once in the node's life, by `bmigd init`.

The rule that must not break: never over a journal, nor where one was lost that knew of guests.
"""

import contextlib
import sqlite3
import uuid
from pathlib import Path

from bmigd import durable
from bmigd.errors import LocalFault
from bmigd.journal import BESIDE, lay_out
from bmigd.mark import Mark, mark_path
from bmigd.unusable import obstacle


def create(path: Path) -> str:
    """Make a journal and return its incarnation; LocalFault (JOURNAL_EXISTS, JOURNAL_LOST,
    JOURNAL_UNWRITABLE).

    It has its name only when all of it is on disk: one that could not be made leaves nothing.
    """
    if path.exists():
        raise LocalFault(
            "JOURNAL_EXISTS",
            f"{path} exists already",
            "nothing needs to be done; a journal is made once and never replaced",
        )
    _require_none_before(path)
    incarnation, unfinished = str(uuid.uuid4()), path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove(unfinished)
        _build(unfinished, incarnation)
        mark_path(unfinished).rename(mark_path(path))
        unfinished.rename(path)
        durable.sync_names(path.parent)
    except (sqlite3.Error, OSError) as error:
        raise LocalFault(
            "JOURNAL_UNWRITABLE",
            f"cannot make {path}: {obstacle(error) or error}",
            "free or mend its disk, or correct node.state_dir, and run `bmigd init` again",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            _remove(unfinished)
    return incarnation


def _require_none_before(path: Path) -> None:
    """LocalFault (JOURNAL_LOST) if something is left of a journal that was used."""
    left = [one for one in (mark_path(path), *_beside(path)) if one.exists()]
    with contextlib.closing(Mark(mark_path(path))) as mark:
        is_unused = left == [mark_path(path)] and (mark.read() or ("", 1))[1] == 0
    if left and not is_unused:
        raise LocalFault(
            "JOURNAL_LOST",
            f"{path} is gone, and of a journal that was used there {' and '.join(map(str, left))}"
            " are left",
            'do as docs/FAILURES.md says under "The journal", guests may be in doubt; then move'
            f" {path}* away and run `bmigd init` again",
        )


def _build(path: Path, incarnation: str) -> None:
    path.touch(mode=0o600)
    connection = sqlite3.connect(path)
    try:
        lay_out(connection, incarnation)
    finally:
        connection.close()  # which brings everything into the one file, on disk
    mark = Mark(mark_path(path))
    mark.write((incarnation, 0))
    mark.close()


def _beside(path: Path) -> list[Path]:
    """What SQLite has beside a file: of a lost one it would be brought into a new one."""
    return [path.with_name(path.name + end) for end in BESIDE]


def _remove(path: Path) -> None:
    """A journal that was not finished."""
    for part in (path, mark_path(path), *_beside(path)):
        part.unlink(missing_ok=True)
