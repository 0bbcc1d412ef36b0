"""History keeps pictures and events of migrations, forgets the oldest, and decides nothing."""

from pathlib import Path

import pytest

from bmigd import history
from bmigd.history import KEEP_MIGRATIONS, History


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history.db"


def test_the_latest_picture_is_kept_and_newest_come_first(path: Path) -> None:
    kept = History(path)
    kept.save("m1", 1000, {"phase": 1})
    kept.save("m2", 2000, {"phase": 1})
    kept.save("m1", 1000, {"phase": 6})
    kept.close()
    again = History(path)
    assert again.migrations() == [{"phase": 1}, {"phase": 6}]
    again.close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_events_come_back_in_order_and_once(path: Path) -> None:
    kept = History(path)
    kept.save("m1", 1000, {})
    for sequence in (2, 1, 3, 2):
        kept.add_event("m1", sequence, {"sequence": sequence})
    kept.add_event("m2", 1, {"sequence": 9})
    assert kept.events("m1") == [{"sequence": 1}, {"sequence": 2}, {"sequence": 3}]
    assert kept.events("m3") == []
    kept.close()


def test_the_oldest_are_forgotten_with_their_events(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert KEEP_MIGRATIONS >= 1000
    monkeypatch.setattr(history, "KEEP_MIGRATIONS", 2)
    kept = History(path)
    for number in (1, 2, 3):
        kept.save(f"m{number}", number * 1000, {"number": number})
        kept.add_event(f"m{number}", 1, {})
    kept.save("m3", 3000, {"number": 3})
    assert kept.migrations() == [{"number": 3}, {"number": 2}]
    assert kept.events("m1") == []
    assert kept.events("m3") == [{}]
    kept.close()
