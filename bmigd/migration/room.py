"""Memory and spool of this node, and what of them is promised.

Promises are counted so that two guests are never given the same memory or spool. What a guest on
its way in has taken already counts twice until it runs: that errs on the safe side. Images of
guests that left are room that is not needed yet.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from bmigd import host
from bmigd.errors import LocalFault, NotPossible, spool_full
from bmigd.guests.definition import Definition
from bmigd.migration.images import Images
from bmigd.prechecks.facts import memory_needed, mib


@dataclass
class Room:
    """Of one node. May be asked in any thread; promises are made in the event loop."""

    spool_dir: Path
    reserve_bytes: int
    images: Images
    promised: dict[str, tuple[int, int]] = field(default_factory=dict)  # by migration
    _state: dict[str, int] = field(default_factory=dict)  # device state, likewise

    @cached_property
    def in_memory(self) -> bool:
        """Whether the spool lives in memory, so that its use counts against memory too."""
        return host.is_in_memory(self.spool_dir)

    def available(self) -> tuple[int, int]:
        """Memory and spool that can still be promised, in bytes."""
        memory, spool = self._left()
        kept = self.images.size_bytes
        return max(0, memory + kept * self.in_memory), max(0, spool + kept)

    def promise(
        self, migration_id: str, room_bytes: tuple[int, int], node: str, guest: Definition
    ) -> None:
        """Memory and spool for a guest; NotPossible (NO_MEMORY, NO_SPOOL_ROOM).

        Images of guests that left make way, that of this guest last.
        """
        memory, spool = self.available()
        for reason, needed, available in (
            ("NO_MEMORY", memory_needed(room_bytes, self.in_memory), memory),
            ("NO_SPOOL_ROOM", room_bytes[1], spool),
        ):
            if available < needed:
                raise NotPossible(
                    reason,
                    f"{node} has {mib(available)} left, {mib(needed)} are needed",
                    f"free some on {node} or choose another node",
                    side="destination",
                )
        self.promised[migration_id] = room_bytes
        while self._is_short() and self.images.drop_oldest(guest):
            continue

    def promise_state(self, migration_id: str, size_bytes: int) -> None:
        """Spool for device state, besides; LocalFault (SPOOL_FULL) if it is not there.

        Compared with what is free now: the guest that it is for has taken what it was promised.
        """
        memory, spool = self._free()
        if min(spool, memory if self.in_memory else spool) < size_bytes:
            words = f"no room for {mib(size_bytes)} of device state"
            raise spool_full(words)
        kept = {one: size for one, size in self._state.items() if one in self.promised}
        self._state = {**kept, migration_id: size_bytes}

    def _is_short(self) -> bool:
        """Whether what was promised is not free yet."""
        return min(self._left()) < 0

    def _left(self) -> tuple[int, int]:
        memory, spool = self._free()
        for migration_id, (of_memory, of_spool) in list(self.promised.items()):
            needed = of_memory, of_spool + self._state.get(migration_id, 0)
            memory -= memory_needed(needed, self.in_memory)
            spool -= needed[1]
        return memory, spool

    def _free(self) -> tuple[int, int]:
        memory = host.memory_bytes()[0] - self.reserve_bytes
        try:
            return memory, host.room_bytes(self.spool_dir)
        except OSError as error:
            raise LocalFault(
                "SPOOL_UNUSABLE",
                f"node.spool_dir {self.spool_dir} cannot be used: {error.strerror}",
                "mount or make it again, with mode 0700; guests go on meanwhile",
            ) from error
