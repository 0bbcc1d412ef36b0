"""Guest memory on disk: regions lie where bhyve puts them, and what goes in is what comes out."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bmigd import host
from bmigd.chunk import MIB, PAGE_BYTES
from bmigd.drivers.base import Region
from bmigd.drivers.bhyve.memory import live_memory, received_memory, snapshot_memory
from bmigd.drivers.memory import GRAIN_BYTES, make_file, reserve
from bmigd.errors import LocalFault
from bmigd.transfer.content import ContentTracker
from bmigd.transfer.pages import PageTable
from tests.transfer.memories import HashedHere

REGIONS = (Region("low", 0, 2 * MIB), Region("high", 8 * MIB, MIB))


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A VM node: a hole between the regions."""
    path = tmp_path / "node"
    path.write_bytes(b"L" * 2 * MIB + b"." * 6 * MIB + b"H" * MIB)
    return path


def test_a_running_guest_is_read_at_guest_addresses(node: Path) -> None:
    memory = live_memory(node, REGIONS)
    assert bytes(memory.view(0)) == b"L" * 2 * MIB
    assert bytes(memory.view(1)) == b"H" * MIB
    memory.close()


def test_a_running_guest_is_seen_as_it_changes(node: Path) -> None:
    memory = live_memory(node, REGIONS)
    with node.open("r+b") as file:
        file.seek(8 * MIB)
        file.write(b"x")
    assert memory.view(1)[0] == ord("x")
    memory.close()


def test_a_running_guest_cannot_be_written(node: Path) -> None:
    memory = live_memory(node, REGIONS)
    assert memory.view(0).readonly
    memory.close()


def sparse(path: Path) -> Path:
    """A VM node whose guest touched one page in the middle of each region."""
    with path.open("wb") as file:
        file.truncate(9 * MIB)
        for offset in (MIB, 8 * MIB + MIB // 2):
            file.seek(offset)
            file.write(b"x")
    return path


def test_memory_that_was_never_touched_is_known_without_reading_it() -> None:
    with TemporaryDirectory(dir="/dev/shm") as directory:
        node = sparse(Path(directory) / "node")
        memory = live_memory(node, REGIONS)
        assert memory.populated(0) == [(MIB, GRAIN_BYTES)]
        assert memory.populated(1) == [(MIB // 2, GRAIN_BYTES)]
        table = PageTable([region.size_bytes for region in REGIONS], seed=1)
        tracker = ContentTracker(table, HashedHere(seed=1))
        sent = [batch.pages.tolist() for batch in tracker.scan(memory) if len(batch.pages)]
        assert sent == [[MIB // PAGE_BYTES], [MIB // 2 // PAGE_BYTES]]
        assert node.stat().st_blocks * 512 == 2 * GRAIN_BYTES  # reading a hole fills it
        memory.close()


def test_memory_that_is_reserved_is_there_and_still_known_to_be_untouched() -> None:
    with TemporaryDirectory(dir="/dev/shm") as directory:
        file = Path(directory) / "ram"
        make_file(file, 3 * MIB)
        reserve(file, 0, 3 * MIB)
        assert file.stat().st_blocks * 512 == 3 * MIB
        memory = snapshot_memory(file, REGIONS)
        assert memory.populated(0) == memory.populated(1) == []
        memory.close()


def test_memory_that_cannot_be_reserved_is_refused_and_takes_no_room() -> None:
    with TemporaryDirectory(dir="/dev/shm") as directory:
        file = Path(directory) / "ram"
        make_file(file, 1 << 50)
        with pytest.raises(LocalFault, match="cannot be reserved") as fault:
            reserve(file, 0, 1 << 50)
        assert fault.value.reason == "SPOOL_FULL"
        assert file.stat().st_blocks == 0


def test_memory_that_is_reserved_has_what_was_written_before() -> None:
    with TemporaryDirectory(dir="/dev/shm") as directory:
        file = Path(directory) / "ram"
        make_file(file, 2 * MIB)
        content = bytes(range(256)) * 16
        with file.open("r+b") as written:
            written.seek(MIB)
            written.write(content)
        reserve(file, 0, 2 * MIB)
        assert file.read_bytes() == bytes(MIB) + content + bytes(MIB - len(content))


def test_a_guest_without_holes_is_populated_throughout() -> None:
    with TemporaryDirectory(dir="/dev/shm") as directory:
        node = Path(directory) / "node"
        node.write_bytes(b"L" * 9 * MIB)
        memory = live_memory(node, REGIONS)
        assert [memory.populated(number) for number in (0, 1)] == [[(0, 2 * MIB)], [(0, MIB)]]
        memory.close()


def test_a_disks_word_on_holes_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "is_in_memory", lambda _: False)  # no disk is sure to be there
    with TemporaryDirectory(dir="/dev/shm") as directory:
        memory = live_memory(sparse(Path(directory) / "node"), REGIONS)
        assert memory.populated(0) == [(0, 2 * MIB)]
        memory.close()


def test_regions_of_a_snapshot_follow_one_another(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    path.write_bytes(b"L" * 2 * MIB + b"H" * MIB)
    memory = snapshot_memory(path, REGIONS)
    assert bytes(memory.view(0)) == b"L" * 2 * MIB
    assert bytes(memory.view(1)) == b"H" * MIB
    memory.close()


@pytest.mark.parametrize("content", [None, b"", b"x" * PAGE_BYTES])
def test_what_cannot_be_mapped_is_a_fault_of_this_node(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "node"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LocalFault) as fault:
        live_memory(path, REGIONS)
    assert fault.value.reason == "MEMORY_UNREADABLE"


def test_closing_twice_is_nothing(node: Path, tmp_path: Path) -> None:
    memory = live_memory(node, REGIONS)
    memory.close()
    memory.close()
    spool = received_memory(tmp_path / "spool", REGIONS)
    spool.close()
    spool.close()


def test_fresh_memory_is_zero_sparse_and_private(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    memory = received_memory(path, REGIONS)
    assert not any(memory.read(0, 0, 2 * MIB) + memory.read(1, 0, MIB))
    state = path.stat()
    assert (state.st_size, state.st_blocks, state.st_mode & 0o777) == (3 * MIB, 0, 0o600)
    memory.close()


def test_memory_on_its_way_in_never_replaces_a_file(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    path.write_bytes(b"somebody else's")
    with pytest.raises(LocalFault, match="exists"):
        received_memory(path, REGIONS)
    assert path.read_bytes() == b"somebody else's"


WRITES = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, MIB - 1), st.binary(min_size=1, max_size=300)),
    max_size=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(WRITES)
def test_what_is_written_is_read_and_lies_where_bhyve_looks(
    tmp_path: Path, writes: list[tuple[int, int, bytes]]
) -> None:
    path = tmp_path / "spool"
    path.unlink(missing_ok=True)
    memory = received_memory(path, REGIONS)
    expected = bytearray(3 * MIB)
    for region, offset, content in writes:
        kept = content[: MIB - offset]
        memory.write(region, offset, kept)
        begin = region * 2 * MIB + offset
        expected[begin : begin + len(kept)] = kept
    assert memory.read(0, 0, 2 * MIB) + memory.read(1, 0, MIB) == expected
    memory.close()
    assert path.read_bytes() == expected


@pytest.mark.parametrize(("region", "offset"), [(0, 2 * MIB - 1), (1, MIB), (1, -2), (0, -1)])
def test_a_write_outside_its_region_is_a_bug(tmp_path: Path, region: int, offset: int) -> None:
    memory = received_memory(tmp_path / "spool", REGIONS)
    with pytest.raises(AssertionError):
        memory.write(region, offset, b"xx")
    assert not any((tmp_path / "spool").read_bytes())
    memory.close()


def test_a_full_disk_is_a_fault_of_this_node(tmp_path: Path) -> None:
    memory = received_memory(tmp_path / "spool", REGIONS)
    read_only = os.open(tmp_path / "spool", os.O_RDONLY)
    os.dup2(read_only, memory._descriptor)  # a disk that takes nothing any more
    os.close(read_only)
    with pytest.raises(LocalFault) as fault:
        memory.write(0, 0, b"x")
    assert fault.value.reason == "SPOOL_FULL"
    memory.close()
