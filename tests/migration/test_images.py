"""Memory of guests that left: kept within a limit, given to nobody but the node that the guest went
to, and given up for whoever needs the room.
"""

from pathlib import Path
from uuid import UUID, uuid4

import pytest

from bmigd.guests.definition import MIB, Definition
from bmigd.migration.images import Images
from bmigd.migration.room import Room
from tests.guests.definitions import a_guest


def guest(name: str = "web1", uuid: UUID | None = None, memory_mib: int = 16) -> Definition:
    """A small one."""
    return a_guest(name=name, uuid=uuid or uuid4(), memory_bytes=memory_mib * MIB)


def left(images: Images, one: Definition, peer: str = "host2") -> Path:
    """A guest went to a node and its memory stayed."""
    path = images.place(one)
    assert path
    path.write_bytes(b"m" * one.memory_bytes)
    images.note(one, peer)
    return path


@pytest.fixture(name="images")
def make_images(tmp_path: Path) -> Images:
    return Images(tmp_path, 40 * MIB)


def test_memory_that_was_kept_is_there_once_when_the_guest_comes_back(images: Images) -> None:
    one = guest()
    path = left(images, one)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert images.take(one, "host2") == path
    assert images.take(one, "host2") is None


@pytest.mark.parametrize(
    "change",
    [{"memory_bytes": 32 * MIB}, {"driver": "qemu", "machine": "pc-q35-7.2"}, {"name": "web2"}],
)
def test_memory_of_another_guest_is_not_taken(images: Images, change: dict[str, object]) -> None:
    one = guest()
    left(images, one)
    assert images.take(one.model_copy(update=change), "host2") is None


def test_only_the_node_that_the_guest_went_to_is_told_of_its_memory(images: Images) -> None:
    one = guest()
    path = left(images, one, "host2")
    assert images.take(one, "host3") is None
    assert not path.exists()  # the guest has been elsewhere since


def test_the_oldest_make_way_within_the_limit(images: Images) -> None:
    first, second, third = guest("a"), guest("b"), guest("c")
    for one in (first, second, third):
        left(images, one)
    assert images.size_bytes <= 40 * MIB
    assert [images.take(one, "host2") is None for one in (first, second, third)] == [
        *(True, False, False)
    ]


def test_nothing_is_kept_of_a_guest_that_is_larger_than_the_limit(
    images: Images, tmp_path: Path
) -> None:
    assert images.place(guest(memory_mib=64)) is None
    assert Images(tmp_path, 0).place(guest()) is None


def test_what_a_crash_left_without_its_note_is_removed(images: Images, tmp_path: Path) -> None:
    whole, cut = guest("whole"), guest("cut")
    kept = left(images, whole)
    torn = images.place(cut)
    assert torn
    torn.write_bytes(b"m")
    images.tidy()
    assert not torn.exists()
    assert images.take(whole, "host2") == kept
    left(images, whole)
    Images(tmp_path, 0).tidy()  # none are wanted any more
    assert list((tmp_path / "images").iterdir()) == []


def test_images_are_room_for_whoever_needs_it_and_the_guests_own_goes_last(
    tmp_path: Path,
) -> None:
    images = Images(tmp_path, 64 * MIB)
    other, own = guest("other"), guest("own")
    left(images, own)
    left(images, other)  # the newer one

    class Short(Room):
        """A host on which only the images are left."""

        def _free(self) -> tuple[int, int]:
            return 1 << 40, 32 * MIB - self.images.size_bytes

    room = Short(tmp_path, 0, images)
    assert room.available()[1] == 32 * MIB
    room.promise("m1", (MIB, 16 * MIB), "host1", own)
    assert images.take(other, "host2") is None
    assert images.take(own, "host2")
