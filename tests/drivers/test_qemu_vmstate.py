"""The file of device state says how long it is and is refused when it is anything else."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bmigd.drivers.qemu.vmstate import HEAD, MAX_BYTES, MIB, Flawed, Head, most_bytes, read_head

STREAM = b"QEVM" + bytes(100)


@pytest.fixture(name="file")
def make_file(tmp_path: Path) -> Path:
    """A complete one."""
    path = tmp_path / "vmstate"
    path.write_bytes(Head(False, len(STREAM)).pack() + STREAM)
    return path


@pytest.mark.parametrize("is_paused", [False, True])
def test_what_is_written_is_read(tmp_path: Path, *, is_paused: bool) -> None:
    path = tmp_path / "vmstate"
    path.write_bytes(Head(is_paused, 4).pack() + b"QEVM")
    assert read_head(path) == Head(is_paused, 4)


def test_a_file_of_another_length_is_refused(file: Path) -> None:
    whole = file.read_bytes()
    for wrong in (whole[:-1], whole + b"\0", whole[: HEAD.size], whole[:4], b""):
        file.write_bytes(wrong)
        with pytest.raises(Flawed):
            read_head(file)


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Flawed, match="cannot be read"):
        read_head(tmp_path / "vmstate")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=200))
def test_whatever_a_peer_sends_is_read_or_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(Flawed):
        read_head(file)


@pytest.mark.parametrize("at", range(12))
def test_a_head_of_something_else_is_refused(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 0x80
    file.write_bytes(content)
    with pytest.raises(Flawed, match="not device state"):
        read_head(file)


def test_a_stream_with_memory_in_it_is_too_long() -> None:
    assert most_bytes(256 * MIB) < 256 * MIB // 4
    assert most_bytes(1 << 40) == MAX_BYTES
