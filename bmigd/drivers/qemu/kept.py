"""What is kept of a suspended guest beside its QEMU and its memory: the file of device state, and
whether an operator held the guest before we did.

From the moment that the guest may run on, what is kept is older than its disks: it is put out of
reach before, and back only if the guest surely did not run.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bmigd.drivers.qemu import vmstate
from bmigd.drivers.qemu.monitor import MonitorRefused
from bmigd.errors import StartFailed


@dataclass(frozen=True)
class Kept:
    """In the guest's directory. All of it blocks, for as long as small files on the spool take."""

    directory: Path

    @property
    def file(self) -> Path:
        """Device state."""
        return self.directory / vmstate.NAME

    @property
    def is_whole(self) -> bool:
        """Whether the file is complete."""
        return vmstate.is_whole(self.file)

    @property
    def is_held(self) -> bool:
        """Whether an operator held the guest when it was suspended last."""
        return self._mark.exists()

    def begin(self, *, is_held: bool) -> Path:
        """A file for the stream of device state to be added to; what was kept before is gone."""
        self.file.unlink(missing_ok=True)
        if is_held:
            self._mark.touch(mode=0o600)
        else:
            self._mark.unlink(missing_ok=True)
        partial = self.file.with_suffix(".partial")
        partial.write_bytes(vmstate.Head(is_held, 0).pack())
        return partial

    def finish(self, partial: Path, stream_bytes: int) -> None:
        """The stream is complete: give the file its head and its name."""
        with partial.open("r+b") as file:
            file.write(vmstate.Head(self.is_held, stream_bytes).pack())
        partial.rename(self.file)

    @contextmanager
    def out_of_reach(self) -> Iterator[None]:
        """While the guest is set off."""
        old = self.file.with_suffix(".old")
        if self.file.exists():
            self.file.rename(old)
        try:
            yield
        except (MonitorRefused, StartFailed) as error:
            never_ran = isinstance(error, MonitorRefused) or error.never_ran
            if never_ran and old.exists():
                old.rename(self.file)
            raise
        old.unlink(missing_ok=True)
        self._mark.unlink(missing_ok=True)

    @property
    def _mark(self) -> Path:
        return self.directory / "held"
