"""Guest definitions on disk: one TOML file each, written whole or not at all.

A definition in this directory means that the guest belongs to this node; nothing else does.
"""

import os
from pathlib import Path

from bmigd.errors import Invalid, LocalFault, Taken, Unknown
from bmigd.guests.definition import Definition, parse_toml, render_toml


class GuestStore:
    """The definitions of this node's guests."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def names(self) -> list[str]:
        """Names of all guests, sorted."""
        return sorted(path.stem for path in self._directory.glob("*.toml"))

    def get(self, name: str) -> Definition:
        """One guest; Unknown (GUEST_UNKNOWN) if it is not here."""
        if name not in self.names():  # never turn a caller's text into a path
            raise Unknown(
                "GUEST_UNKNOWN",
                f"there is no guest {name!r} on this node",
                "bmigctl guest list shows every guest and its node",
                guest=name[:64],
            )
        path = self._path(name)
        try:
            return parse_toml(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, Invalid) as error:
            raise LocalFault(
                "DEFINITION_UNREADABLE",
                f"cannot read {path}: {error}",
                "mend or replace that file; the guest itself is as it was",
                guest=name,
            ) from error

    def add(self, definition: Definition) -> None:
        """Keep a definition, durably; Taken (NAME_TAKEN) for a different guest of that name."""
        if definition.name in self.names():
            if self.get(definition.name) == definition:
                return
            raise Taken(
                "NAME_TAKEN",
                f"guest {definition.name} is defined here already, differently",
                "choose another name, or undefine the guest first",
            )
        _write_durably(self._path(definition.name), render_toml(definition))

    def remove(self, name: str) -> None:
        """Forget a guest; nothing happens if it is not here."""
        if name in self.names():
            self._path(name).unlink(missing_ok=True)
            _sync(self._directory)

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.toml"


def _write_durably(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    _sync(path.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
