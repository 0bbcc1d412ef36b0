"""The same memory is promised once, also where the spool is a part of it."""

from pathlib import Path

import pytest

from bmigd.errors import BmigError
from bmigd.migration.images import Images
from bmigd.migration.room import Room
from tests import needs
from tests.guests.definitions import a_guest

MIB = 1 << 20
GUEST = a_guest()
IN_MEMORY = Path("/dev/shm")


def test_what_is_promised_is_not_available(tmp_path: Path) -> None:
    room = Room(tmp_path, 0, Images(tmp_path, 0))
    memory, spool = room.available()
    room.promise("m1", (64 * MIB, 32 * MIB), "host1", GUEST)
    left_memory, left_spool = room.available()
    assert memory - left_memory > 32 * MIB  # others use memory meanwhile
    assert spool - left_spool > 16 * MIB


def test_a_spool_in_memory_counts_against_memory() -> None:
    if not IN_MEMORY.is_dir():
        needs.missing(f"there is no {IN_MEMORY} here")
    room = Room(IN_MEMORY, 0, Images(IN_MEMORY / "none", 0))
    assert room.in_memory
    memory, _ = room.available()
    with pytest.raises(BmigError) as refused:
        room.promise("m1", (memory * 2 // 3, memory * 2 // 3), "host1", GUEST)
    assert refused.value.reason == "NO_MEMORY"
    room.promised["m1"] = (memory // 2, memory // 2)
    assert room.available()[0] < memory // 8


def test_device_state_is_counted_and_refused_where_there_is_no_room(tmp_path: Path) -> None:
    room = Room(tmp_path, 0, Images(tmp_path, 0))
    room.promise("m1", (MIB, MIB), "host1", GUEST)
    _, spool = room.available()
    for _ in range(2):  # delivered again, it is counted once
        room.promise_state("m1", 64 * MIB)
    assert 32 * MIB < spool - room.available()[1] < 96 * MIB
    with pytest.raises(BmigError) as refused:
        room.promise_state("m1", 1 << 60)
    assert refused.value.reason == "SPOOL_FULL"


def test_a_spool_that_is_gone_is_said(tmp_path: Path) -> None:
    room = Room(tmp_path / "gone", 0, Images(tmp_path / "gone", 0))
    with pytest.raises(BmigError, match="gone cannot be used: No such file") as refused:
        room.available()
    assert refused.value.reason == "SPOOL_UNUSABLE"
