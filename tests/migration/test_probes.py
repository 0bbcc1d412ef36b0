"""A check leaves nothing in a storage for good, and takes nothing that is not its own."""

import os
from pathlib import Path

from bmigd.migration import probes

OURS, THEIRS, OTHER = "a" * 32, "b" * 32, "c" * 32


def aged(path: Path, by_s: float) -> Path:
    """A file that is older than one written now by so many seconds."""
    path.write_text("x")
    at_s = path.stat().st_mtime - by_s
    os.utime(path, (at_s, at_s))
    return path


def test_what_was_left_is_seen_until_it_is_removed(tmp_path: Path) -> None:
    probes.leave(tmp_path, OURS)
    assert probes.seen(tmp_path, OURS) == OURS
    assert probes.seen(tmp_path, THEIRS) == ""
    for _ in range(2):
        probes.remove(tmp_path, OURS)
        assert list(tmp_path.iterdir()) == []


def test_one_that_a_killed_daemon_left_goes_after_a_day_and_nothing_else_does(
    tmp_path: Path,
) -> None:
    left = aged(tmp_path / f"{probes.PREFIX}{THEIRS}", probes.OLD_S + 60)
    under_way = aged(tmp_path / f"{probes.PREFIX}{OTHER}", probes.OLD_S - 60)
    image = aged(tmp_path / "web1.img", 30 * probes.OLD_S)
    hidden = aged(tmp_path / ".bmig-image", 30 * probes.OLD_S)
    probes.leave(tmp_path, OURS)
    assert not left.exists()
    assert {one.name for one in tmp_path.iterdir()} == {
        under_way.name,
        image.name,
        hidden.name,
        f"{probes.PREFIX}{OURS}",
    }


def test_a_link_of_that_name_is_taken_away_and_not_what_it_leads_to(tmp_path: Path) -> None:
    image = aged(tmp_path / "web1.img", 30 * probes.OLD_S)
    link = tmp_path / f"{probes.PREFIX}{THEIRS}"
    link.symlink_to(image)
    at_s = link.lstat().st_mtime - probes.OLD_S - 60
    os.utime(link, (at_s, at_s), follow_symlinks=False)
    probes.leave(tmp_path, OURS)
    assert not link.is_symlink()
    assert image.exists()


def test_what_cannot_be_taken_away_keeps_no_check_from_its_answer(tmp_path: Path) -> None:
    directory = tmp_path / f"{probes.PREFIX}{THEIRS}"
    directory.mkdir()
    os.utime(directory, (0, 0))
    probes.leave(tmp_path, OURS)
    assert directory.is_dir()
    assert probes.seen(tmp_path, OURS) == OURS
