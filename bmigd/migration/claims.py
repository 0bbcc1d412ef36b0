"""Which guests are part of a migration on this node, or being changed by hand: one thing at a time.

In memory only; rebuilt from the journal at the start, before anything is served.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from bmigd.errors import Busy


class Claims:
    """Guest name to migration id, or to the change by hand that is under way."""

    def __init__(self) -> None:
        self._by_guest: dict[str, str] = {}
        self._by_hand: dict[str, str] = {}
        self._back: set[str] = set()

    def holder(self, guest: str) -> str:
        """The migration that has the guest, or ""."""
        return self._by_guest.get(guest, "")

    def held(self) -> dict[str, str]:
        """Every guest that a migration has, and which one."""
        return dict(self._by_guest)

    def take(self, guest: str, migration_id: str) -> None:
        """Claim a guest; Busy (GUEST_BUSY) if another migration has it."""
        if self.holder(guest) != migration_id:
            self.require_free(guest)
        self._by_guest[guest] = migration_id

    def release(self, guest: str, migration_id: str) -> None:
        """Let a guest go, if that migration has it."""
        if self.holder(guest) == migration_id:
            del self._by_guest[guest]
            self._back.discard(guest)

    def note_back(self, guest: str, migration_id: str) -> None:
        """The guest goes on here, and its migration ends as soon as that can be written down."""
        if self.holder(guest) == migration_id:
            self._back.add(guest)

    def is_back(self, guest: str) -> bool:
        """Whether the guest's migration only waits for the journal."""
        return guest in self._back

    def change(self, guest: str) -> str:
        """What is being done to a guest by hand, for example "stopped", or ""."""
        return self._by_hand.get(guest, "")

    @contextmanager
    def by_hand(self, guest: str, change: str) -> Iterator[None]:
        """Keep migrations off a guest while it is being stopped, for example."""
        self.require_free(guest)
        self._by_hand[guest] = change
        try:
            yield
        finally:
            del self._by_hand[guest]

    def busy(self, guest: str) -> Busy | None:
        """What require_free() would say."""
        try:
            self.require_free(guest)
        except Busy as error:
            return error
        return None

    def require_free(self, guest: str) -> None:
        """Busy (GUEST_BUSY) if any migration has the guest, or a change by hand."""
        if change := self.change(guest):
            advice = "wait for it"
            if change == "stopped":
                advice += f", or end the guest: bmigctl guest stop --force {guest}"
            raise Busy("GUEST_BUSY", f"guest {guest} is being {change}", advice, guest=guest)
        if self.is_back(guest):
            raise Busy(
                "GUEST_BUSY",
                f"guest {guest} goes on here, and its migration {self.holder(guest)} ends when that"
                " can be written",
                "free space on the disk under node.state_dir, or mend it",
                guest=guest,
            )
        if held := self.holder(guest):
            raise Busy(
                "GUEST_BUSY",
                f"guest {guest} is part of migration {held}",
                f"wait for it, or cancel it: bmigctl cancel {held}; if the guest was let go, that"
                f" cannot be: bmigctl show {held} says what it waits for",
                guest=guest,
            )
