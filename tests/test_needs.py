"""What a test needs of the machine and is not there fails in CI, and is skipped elsewhere."""

import re
from pathlib import Path

import pytest

from tests import needs

TESTS = Path(__file__).parent
SKIPS = re.compile(r"pytest\.(skip\(|importorskip|mark\.skip\b)|unittest\.skip")


@pytest.mark.parametrize(
    ("ci", "kind"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)]
)
def test_what_is_missing_fails_in_ci_and_is_skipped_elsewhere(
    monkeypatch: pytest.MonkeyPatch, ci: str, kind: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(needs.MISSING, match="no such-program") as ended:
        needs.program("such-program")
    assert type(ended.value) is kind


def test_nothing_else_skips() -> None:
    skipping = [
        path.name
        for path in TESTS.rglob("*.py")
        if path.name != Path(__file__).name and SKIPS.search(path.read_text(encoding="utf-8"))
    ]
    assert skipping == ["needs.py"]
