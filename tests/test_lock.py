"""Only one process has the lock of a state directory, and none that is gone."""

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bmigd.errors import LocalFault
from bmigd.lock import Lock

WAIT = "import sys; print('executed', flush=True); sys.stdin.read()"
HOLD = """
import sys
from pathlib import Path
from bmigd.lock import Lock
lock = Lock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_another_process_is_told_who_has_it_until_that_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "bmigd.lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(LocalFault, match=f"as process {other.pid}") as fault:
            Lock(path)
        assert fault.value.reason == "ALREADY_RUNNING"
        other.send_signal(signal.SIGKILL)
        other.wait()
        Lock(path).close()


def test_it_can_be_had_again_and_names_the_one_that_has_it(tmp_path: Path) -> None:
    path = tmp_path / "bmigd.lock"
    path.write_text("123456789012\n")
    lock = Lock(path)
    assert path.read_text().split() == [str(os.getpid())]
    lock.close()


def test_what_it_starts_does_not_keep_it(tmp_path: Path) -> None:
    path = tmp_path / "bmigd.lock"
    lock = Lock(path)
    command = [sys.executable, "-c", WAIT]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, close_fds=False, **pipes) as child:
        assert child.stdout
        assert child.stdout.readline() == b"executed\n"  # descriptors are closed by that
        lock.close()
        Lock(path).close()
        child.kill()


def test_nobody_else_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "bmigd.lock"
    Lock(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_system_without_locks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(LocalFault, match="No locks available") as fault:
        Lock(tmp_path / "bmigd.lock")
    assert fault.value.reason == "DIRECTORY_UNUSABLE"


def test_a_full_disk_keeps_nobody_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", refuse)
    Lock(tmp_path / "bmigd.lock").close()


def test_a_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(LocalFault, match="No such file") as fault:
        Lock(tmp_path / "gone" / "bmigd.lock")
    assert fault.value.reason == "DIRECTORY_UNUSABLE"
