"""The command `bmigd`: what it refuses, in words and with its exit status, never a traceback."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from bmigd import host
from certs import authority

CONFIG = """
[node]
name = "host1"
state_dir = "state"
spool_dir = "{spool}"
run_dir = "/tmp/bmig-{name}"
[tls]
ca = "certs/ca.pem"
certificate = "certs/nodes/host1.pem"
key = "certs/nodes/host1.key"
[storage]
nfs = "gone"
"""


@pytest.fixture(name="config")
def make_config(tmp_path: Path) -> Path:
    """Of a node with a certificate, whose spool cannot be made."""
    authority.make_ca(tmp_path / "certs", "test")
    authority.issue_node(tmp_path / "certs", "host1")
    (tmp_path / "file").touch()
    path = tmp_path / "bmigd.toml"
    path.write_text(CONFIG.format(spool="file/spool", name=tmp_path.name))
    return path


def bmigd(config: Path, *arguments: str) -> tuple[int, str]:
    """Exit status and everything that it says."""
    command = [sys.executable, "-m", "bmigd", "--config", str(config), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def test_a_directory_that_cannot_be_made_is_named(config: Path) -> None:
    assert bmigd(config, "init")[0] == 0
    status, words = bmigd(config)
    assert status == 1
    assert "DIRECTORY_UNUSABLE" in words
    assert "file/spool cannot be a directory of ours: Not a directory" in words


def test_a_state_directory_that_cannot_be_made_is_named(config: Path) -> None:
    (config.parent / "state").touch()
    status, words = bmigd(config, "init")
    assert status == 1
    assert "JOURNAL_UNWRITABLE" in words


def test_a_check_warns_of_what_is_not_there(config: Path) -> None:
    status, words = bmigd(config, "--check-config")
    assert status == 0
    assert f"warning: storage.nfs: no directory {config.parent / 'gone'}" in words


def test_a_check_makes_no_journal(config: Path) -> None:
    status, words = bmigd(config, "--check-config", "init")
    assert status == 2
    assert "goes with no command" in words
    assert not (config.parent / "state").exists()


def test_what_to_do_about_a_certificate_is_said_once(config: Path) -> None:
    (config.parent / "certs/nodes/host1.key").chmod(0o644)
    status, words = bmigd(config, "--check-config")
    assert status == 2
    assert words.count("chmod 600") == 1


def test_the_limit_of_open_files_is_raised_as_far_as_it_goes() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1] // 2, before[1]))
    try:
        host.raise_file_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


LIBRARY = """
import logging
from bmigd.__main__ import _set_up_logging
from bmigd.config import Log
_set_up_logging(Log())
logging.getLogger("grpc").warning("cannot %s", "connect")
logging.getLogger("qemu.qmp.protocol").error("nobody answers")
try:
    1 / 0
except ZeroDivisionError as error:
    kept = error
logging.getLogger("asyncio").error("never retrieved", exc_info=kept)
logging.getLogger("grpc").error("%d of these", "none")
"""


def test_what_libraries_log_is_a_line_like_ours() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIBRARY], capture_output=True, text=True, check=True
    )
    lines = done.stderr.splitlines()
    first, second = (json.loads(line) for line in lines[:2])
    assert (first["event"], first["logger"], first["words"]) == (
        "library",
        "grpc",
        "cannot connect",
    )
    assert (second["logger"], second["level"]) == ("asyncio", "error")
    assert "ZeroDivisionError" in second["exception"]
