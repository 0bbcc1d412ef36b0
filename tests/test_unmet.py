"""What `bmigd --check-config` warns of: all of it, and nothing where all is there."""

import os
import sys
from pathlib import Path

import pytest

from bmigd.config import parse
from bmigd.daemon import journal_path, make_policy
from bmigd.unmet import unmet

LOOPBACK = "lo" if sys.platform == "linux" else "lo0"
FULL = f"""
[node]
name = "host1"
state_dir = "state"
spool_dir = "spool"
run_dir = "/tmp/bmig-that-is-never-made"
firmware_dirs = ["."]
variables_dirs = ["."]
[tls]
ca = "ca.pem"
certificate = "host1.pem"
key = "host1.key"
[nodes]
host2 = "192.0.2.2:7117"
[[operators]]
names = ["alice"]
allow = ["read"]
[[peers]]
names = ["host*"]
allow = ["receive"]
[storage]
nfs = "."
[networks]
lan = "{LOOPBACK}"
[bhyve]
bhyve = "/bin/sh"
bhyvectl = "/bin/sh"
ifconfig = "/bin/sh"
[qemu]
qemu = "/bin/sh"
"""


def warnings(directory: Path, text: str) -> list[str]:
    config = parse(text, directory / "bmigd.toml")
    return unmet(config, make_policy(config), journal_path(config))


@pytest.fixture(name="directory")
def make_directory(tmp_path: Path) -> Path:
    """Of a node that has been initialised."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state/journal.sqlite").touch()
    return tmp_path


def test_nothing_is_said_where_nothing_is_missing(directory: Path) -> None:
    assert warnings(directory, FULL) == []
    assert sorted(one.name for one in directory.iterdir()) == ["state"]  # and nothing was made


@pytest.mark.parametrize(
    ("here", "instead", "told"),
    [
        ('ifconfig = "/bin/sh"', 'ifconfig = "/no"', "bhyve.ifconfig: no program /no"),
        ('qemu = "/bin/sh"', 'qemu = "/no"', "qemu.qemu: no program /no"),
        ('nfs = "."', 'nfs = "no"', "storage.nfs: no directory {}/no"),
        (
            'firmware_dirs = ["."]',
            'firmware_dirs = [".", "no"]',
            "node.firmware_dirs: no directory {}/no",
        ),
        (
            'variables_dirs = ["."]',
            'variables_dirs = ["no"]',
            "node.variables_dirs: no directory {}/no",
        ),
        (
            '"spool"',
            '"state/journal.sqlite/spool"',
            "node.spool_dir: {0}/state/journal.sqlite/spool cannot be used:"
            " {0}/state/journal.sqlite is no directory",
        ),
        (f'lan = "{LOOPBACK}"', 'lan = "bridge77"', "networks.lan: no interface bridge77"),
        (
            'names = ["host*"]',
            'names = ["host3"]',
            "nodes.host2: no rule of peers lets guests go there or come from there",
        ),
        (
            'allow = ["receive"]',
            'allow = ["read"]',
            "nodes.host2: no rule of peers lets guests go there or come from there",
        ),
        (
            '[[operators]]\nnames = ["alice"]\nallow = ["read"]',
            "",
            "operators: no rule: nobody may do anything on this node",
        ),
    ],
)
def test_what_is_missing_is_told_by_its_field(
    directory: Path, here: str, instead: str, told: str
) -> None:
    assert here in FULL
    assert warnings(directory, FULL.replace(here, instead)) == [told.format(directory)]


def test_a_node_without_a_driver_is_told(directory: Path) -> None:
    assert warnings(directory, FULL[: FULL.index("[bhyve]")]) == [
        "bhyve, qemu: neither table is there: no guest can run on this node"
    ]


def test_a_node_without_a_journal_is_told_to_make_it_once(tmp_path: Path) -> None:
    [told] = warnings(tmp_path, FULL)
    assert told.endswith("run bmigd init, once in a node's life")


def test_a_directory_that_may_not_be_written_is_told(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (directory / "locked").mkdir()
    text = FULL.replace('"spool"', '"locked/spool"')
    assert warnings(directory, text) == []
    allowed = os.access

    def access(path: Path, mode: int) -> bool:  # root, who may be running this, may write it all
        return path.name != "locked" and allowed(path, mode)

    monkeypatch.setattr(os, "access", access)
    [told] = warnings(directory, text)
    assert told.endswith("locked may not be written")


def journal_warnings(directory: Path) -> list[str]:
    return [one for one in warnings(directory, FULL) if one.startswith("node.state_dir")]


def test_a_journal_is_to_be_made_only_where_there_never_was_one(directory: Path) -> None:
    (directory / "state/journal.sqlite").unlink()
    (told,) = journal_warnings(directory)
    assert "run bmigd init" in told
    (directory / "state/journal.sqlite.mark").touch()
    (told,) = journal_warnings(directory)
    assert "init" not in told
    assert "its mark is there: read docs/FAILURES.md" in told


def test_a_journal_that_cannot_be_seen_is_not_called_missing(directory: Path) -> None:
    (directory / "state/journal.sqlite").unlink()
    (directory / "state").rmdir()
    (directory / "state").touch()  # as good as a directory that we may not enter, which root may
    assert not any("init" in one for one in journal_warnings(directory))
    assert any("not a directory: check as the user" in one for one in journal_warnings(directory))
