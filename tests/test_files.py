"""A file that somebody else named is never waited for, and never read beyond a bound."""

import hashlib
import os
from pathlib import Path

import pytest

from bmigd.files import beginning_of, sha256_of, size_of


@pytest.fixture(name="fifo")
def make_fifo(tmp_path: Path) -> Path:
    """Nobody writes into it."""
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo"


def test_what_has_no_end_is_no_file(fifo: Path) -> None:
    for path in (Path("/dev/zero"), fifo, fifo.parent):
        assert sha256_of(path, 1 << 40) == ""
        assert beginning_of(path, 64) == b""
        assert size_of(path) == 0


def test_a_file_is_read_up_to_a_bound(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 4096)
    assert sha256_of(file, 4096) == hashlib.sha256(b"x" * 4096).hexdigest()
    assert sha256_of(file, 4095) == ""
    assert beginning_of(file, 3) == b"xxx"
    assert size_of(file) == 4096


def test_what_is_missing_is_nothing(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert (sha256_of(missing, 64), beginning_of(missing, 64), size_of(missing)) == ("", b"", 0)
