"""What can be wrong with the disk under a journal, and with the journal itself. Nothing is mocked:
the disk is full, the kernel refuses to sync, and files are what they are.
"""

import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bmigd.mark import mark_path
from tests.daemons import Node

SMALL = "16m"
MOUNT, UMOUNT = shutil.which("mount") or "mount", shutil.which("umount") or "umount"


def journal_of(node: Node) -> Path:
    """Where a node's journal is."""
    return node.directory / "state/journal.sqlite"


@contextmanager
def on_a_small_disk(node: Node) -> Iterator[None]:
    """A node whose state is on a disk of its own (needs root)."""
    state = node.directory / "state"
    node.stop()
    kept = shutil.move(state, node.directory / "kept")
    state.mkdir(mode=0o700)
    subprocess.run([MOUNT, "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", state], check=True)
    try:
        shutil.copytree(kept, state, dirs_exist_ok=True)
        node.start()
        yield
    finally:
        if node.process:
            node.stop(signal.SIGKILL)
        subprocess.run([UMOUNT, "--lazy", state], check=True)


@contextmanager
def full(node: Node) -> Iterator[None]:
    """No room for another page of the journal, which is on a small disk of its own."""
    disk = os.statvfs(node.directory / "state")
    assert disk.f_blocks * disk.f_frsize <= 64 << 20, "that would fill the machine's disk"
    with sqlite3.connect(journal_of(node)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # what it has, it may overwrite
    connection.close()
    ballast = node.directory / "state/ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)) == 4096:
            pass
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def unsynced(node: Node) -> Iterator[None]:
    """The kernel takes the mark and refuses to sync it."""
    mark = mark_path(journal_of(node))
    kept = mark.rename(mark.with_suffix(".kept"))
    mark.symlink_to(os.devnull)
    try:
        yield
    finally:
        kept.rename(mark)


def _without_journal(node: Node, old: Path) -> None:
    _remove(journal_of(node))


def _cut(node: Node, old: Path) -> None:
    _whole(node)
    os.truncate(journal_of(node), 5000)


def _overwritten(node: Node, old: Path) -> None:
    _whole(node)
    with journal_of(node).open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(4096))


def _rolled_back(node: Node, old: Path) -> None:
    _remove(journal_of(node))
    shutil.copy(old, journal_of(node))


def _without_mark(node: Node, old: Path) -> None:
    mark_path(journal_of(node)).unlink()


DAMAGES: dict[str, tuple[Callable[[Node, Path], None], str]] = {
    "journal missing": (_without_journal, "JOURNAL_MISSING"),
    "journal truncated": (_cut, "JOURNAL_DAMAGED"),
    "journal corrupt": (_overwritten, "JOURNAL_DAMAGED"),
    "journal rolled back": (_rolled_back, "JOURNAL_OLD"),
    "journal without its mark": (_without_mark, "JOURNAL_FOREIGN"),
}


def copy_of(node: Node) -> Path:
    """The journal as it is now, whole in one file."""
    copy = node.directory / "journal.copy"
    copy.unlink(missing_ok=True)
    source, target = sqlite3.connect(journal_of(node)), sqlite3.connect(copy)
    source.backup(target)
    source.close()
    target.close()
    return copy


@contextmanager
def damaged(node: Node, damage: str, old: Path) -> Iterator[str]:
    """The journal of a daemon that is down, damaged for a while; the reason that it must give."""
    state, kept = node.directory / "state", node.directory / "state.kept"
    shutil.copytree(state, kept)
    act, reason = DAMAGES[damage]
    act(node, old)
    yield reason
    _remove(journal_of(node))
    shutil.copytree(kept, state, dirs_exist_ok=True)  # the directory may be a disk of its own
    shutil.rmtree(kept)


def _whole(node: Node) -> None:
    """Everything in the main file, so that damage to it is damage."""
    connection = sqlite3.connect(journal_of(node))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _remove(journal: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        journal.with_name(journal.name + suffix).unlink(missing_ok=True)
