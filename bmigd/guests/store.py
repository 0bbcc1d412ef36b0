"""Guest definitions on disk: one TOML file each, written whole or not at all.

A definition in this directory means that the guest belongs to this node; nothing else does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bmigd import durable
from bmigd.errors import Invalid, LocalFault, Taken, Unknown
from bmigd.files import make_directory
from bmigd.guests.definition import Definition, parse_toml, render_toml


class GuestStore:
    """The definitions of this node's guests."""

    def __init__(self, directory: Path) -> None:
        """LocalFault (DIRECTORY_UNUSABLE) if there cannot be such a directory."""
        self._directory = directory
        make_directory(directory, "node.state_dir")

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
        """Keep a definition, durably; Taken (NAME_TAKEN) for a different guest of that name.

        LocalFault (DEFINITION_UNWRITABLE): it may be kept all the same; adding it again makes sure.
        """
        path = self._path(definition.name)
        if definition.name in self.names():
            if self.get(definition.name) == definition:
                with _writing(path):  # an earlier call may have failed to
                    durable.sync_names(self._directory)
                return
            raise Taken(
                "NAME_TAKEN",
                f"guest {definition.name} is defined here already, differently",
                "choose another name, or undefine the guest first",
            )
        with _writing(path):
            durable.write(path, render_toml(definition).encode())

    def remove(self, name: str) -> None:
        """Forget a guest, durably; LocalFault (DEFINITION_UNWRITABLE). One that is not here is
        forgotten already.
        """
        with _writing(self._directory / name[:64]):
            if name in self.names():
                self._path(name).unlink(missing_ok=True)
            durable.sync_names(self._directory)  # also when an earlier call failed to

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.toml"


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LocalFault(
            "DEFINITION_UNWRITABLE",
            f"cannot write {path}: {error}",
            "free space on its disk or mend the disk; what waits for it goes on by itself",
            guest=path.stem,
        ) from error
