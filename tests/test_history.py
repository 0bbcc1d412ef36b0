"""History keeps pictures and events of migrations, forgets the oldest, and decides nothing."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bmigd.errors import LocalFault
from bmigd.history import KEEP_MIGRATIONS, History


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history.db"


def everything(history: History, guest: str = "") -> list[dict[str, object]]:
    """All pictures, newest first."""
    return history.newest(lambda name: guest in ("", name), 1000)


def test_the_latest_picture_is_kept_and_newest_come_first(path: Path) -> None:
    kept = History(path)
    kept.save("m1", "vm1", 1000, {"phase": 1})
    kept.save("m2", "vm1", 2000, {"phase": 1})
    kept.save("m1", "vm1", 1000, {"phase": 6})
    kept.close()
    again = History(path)
    assert everything(again) == [{"phase": 1}, {"phase": 6}]
    again.close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_only_what_is_wanted_counts_towards_the_limit(path: Path) -> None:
    kept = History(path)
    for number in range(6):
        kept.save(f"m{number}", f"vm{number % 2}", number, {"number": number})
    assert kept.newest(lambda guest: guest == "vm0", 2) == [{"number": 4}, {"number": 2}]
    kept.close()


def test_a_migration_is_found_by_the_beginning_of_its_id(path: Path) -> None:
    kept = History(path)
    for name in ("abcd1", "abcd2", "a%_d3"):
        kept.save(name, "vm1", 1, {"id": name})
    assert kept.find("abcd1", 2) == [{"id": "abcd1"}]
    assert len(kept.find("abcd", 2)) == 2
    assert kept.find("a%", 2) == [{"id": "a%_d3"}]
    assert kept.find("b", 2) == []
    kept.close()


def test_events_come_back_in_order_and_once(path: Path) -> None:
    kept = History(path)
    kept.save("m1", "vm1", 1000, {})
    for sequence in (2, 1, 3, 2):
        kept.add_event("m1", sequence, {"sequence": sequence})
    kept.add_event("m2", 1, {"sequence": 9})
    assert kept.events("m1") == [{"sequence": 1}, {"sequence": 2}, {"sequence": 3}]
    assert kept.events("m3") == []
    kept.close()


def test_the_oldest_are_forgotten_with_their_events(path: Path) -> None:
    assert KEEP_MIGRATIONS >= 1000
    kept = History(path, keep_migrations=2)
    for number in (1, 2, 3):
        kept.save(f"m{number}", "vm1", number * 1000, {"number": number})
        kept.add_event(f"m{number}", 1, {})
    kept.save("m3", "vm1", 3000, {"number": 3})
    assert everything(kept) == [{"number": 3}, {"number": 2}]
    assert kept.events("m1") == []
    assert kept.events("m3") == [{}]
    kept.close()


def test_a_guest_that_moves_all_the_time_does_not_push_others_out(path: Path) -> None:
    kept = History(path, keep_migrations=4)
    kept.save("old", "vm1", 1, {"id": "old"})
    kept.save("older", "vm1", 0, {"id": "older"})
    for number in range(2, 9):
        kept.save(f"m{number}", "x1", number, {"id": f"m{number}"})
    assert [one["id"] for one in everything(kept)] == ["m8", "m7", "old", "older"]
    kept.close()


@pytest.mark.parametrize("damage", ["nonsense", "pages", "tables of another"])
def test_a_damaged_one_is_put_aside_and_begun_anew(path: Path, damage: str) -> None:
    kept = History(path)
    for number in range(200):
        kept.save(f"m{number}", "vm1", number, {"number": number, "words": "much " * 50})
    kept.close()
    if damage == "nonsense":
        path.write_bytes(os.urandom(3000))
    elif damage == "pages":
        content = path.read_bytes()
        path.write_bytes(content[:4096] + os.urandom(len(content) - 4096))
    else:
        with closing(sqlite3.connect(path)) as other, other:
            other.executescript("DROP TABLE migrations; CREATE TABLE migrations (other TEXT);")
    before = path.read_bytes()
    again = History(path)
    assert everything(again) == []
    again.save("m1", "vm1", 1, {"phase": 1})
    again.close()
    assert path.with_name("history.db.damaged").read_bytes() == before
    assert path.stat().st_mode & 0o777 == 0o600


def test_one_that_cannot_be_opened_now_stays_where_it_is(path: Path) -> None:
    History(path).close()
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LocalFault, match="another program holds it") as fault:
            History(path)
        assert fault.value.reason == "DIRECTORY_UNUSABLE"
    assert [one.name for one in path.parent.iterdir()] == ["history.db"]
