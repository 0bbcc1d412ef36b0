"""Memory of guests that left this node, kept in the spool for their way back.

Two rules must not break. What is kept is only a beginning and is never trusted: it is read back and
hashed before anything is told of it, and both sides compare roots as ever. And it is for nobody but
the node that the guest went to, which had all of it: page hashes tell of contents.

An image counts when its note is there, which is written last and removed first.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from bmigd.guests.definition import Definition

DIRECTORY = "images"


@dataclass(frozen=True)
class Note:
    """Whose memory an image is."""

    guest: str
    uuid: str
    driver: str
    memory_bytes: int
    peer: str  # where the guest went


class Images:
    """The images of one node; every method blocks on files."""

    def __init__(self, spool_dir: Path, limit_bytes: int) -> None:
        self._directory = spool_dir / DIRECTORY
        self._limit_bytes = limit_bytes

    def tidy(self) -> None:
        """Remove what a crash left: images without a note, or all if none are wanted."""
        kept = set(self._kept()) if self._limit_bytes else set[str]()
        for path in self._directory.glob("*"):
            if path.name.removesuffix(".json") not in kept:
                path.unlink(missing_ok=True)

    @property
    def size_bytes(self) -> int:
        """What all of them take."""
        return sum(_size(self._directory / name) for name in self._kept())

    def place(self, guest: Definition) -> Path | None:
        """Where the memory of a guest that leaves may be put; None: it is not kept."""
        if guest.memory_bytes > self._limit_bytes:
            return None
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._drop(_name(guest))
        while self.size_bytes + guest.memory_bytes > self._limit_bytes:
            self.drop_oldest()
        return self._directory / _name(guest)

    def note(self, guest: Definition, peer: str) -> None:
        """It is there, if the guest left any, and is that of a guest that went to this node."""
        path = self._directory / _name(guest)
        if path.exists():
            path.chmod(0o600)
            note = asdict(_note(guest, peer))
            descriptor = os.open(self._note_path(path.name), os.O_WRONLY | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(note, file)

    def take(self, guest: Definition, peer: str) -> Path | None:
        """The image of a guest that comes back from there, to be moved away; None if none."""
        path = self._directory / _name(guest)
        found = self._read(path.name)
        if found is None:
            return None
        if found != _note(guest, peer):
            self._drop(path.name)
            return None
        self._note_path(path.name).unlink(missing_ok=True)
        return path

    def drop_oldest(self, spare: Definition | None = None) -> bool:
        """Remove the oldest image, that of one guest last; whether there was one."""
        kept = sorted(self._kept(), key=lambda name: spare is not None and name == _name(spare))
        if kept:
            self._drop(kept[0])
        return bool(kept)

    def _kept(self) -> list[str]:
        """Names of images, oldest first."""
        notes = sorted(self._directory.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        return [path.stem for path in notes if (self._directory / path.stem).exists()]

    def _drop(self, name: str) -> None:
        self._note_path(name).unlink(missing_ok=True)
        (self._directory / name).unlink(missing_ok=True)

    def _read(self, name: str) -> Note | None:
        try:
            return Note(**json.loads(self._note_path(name).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def _note_path(self, name: str) -> Path:
        return self._directory / f"{name}.json"


def _note(guest: Definition, peer: str) -> Note:
    return Note(guest.name, str(guest.uuid), guest.driver, guest.memory_bytes, peer)


def _name(guest: Definition) -> str:
    """Nobody's guest has a say in another's image by its UUID alone."""
    return f"{guest.name}.{guest.uuid}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        return 0
