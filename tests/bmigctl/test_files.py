"""Whatever an operator names that cannot be read is refused in words, not in a library's."""

import subprocess
import sys
from pathlib import Path

import pytest
from bmigctl import files
from bmigctl.errors import UsageFault


def test_a_file_that_is_none_is_refused_in_words(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"\xff\xfe")
    for path, words in (
        (tmp_path, "is a directory"),
        (broken, "is no file of UTF-8 text"),
        (tmp_path / ("x" * 300), "file name too long"),
        (Path("\0"), "is no file of UTF-8 text"),
    ):
        with pytest.raises(ValueError, match=f": {words}$"):
            files.text_of(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = " + "[" * 5000, "too deep"),
        ("a = " + "9" * 5000, "too long"),
        ("a =", "end of document"),
    ],
)
def test_what_is_no_toml_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        files.toml(text)


def test_a_home_of_nobody_is_refused() -> None:
    with pytest.raises(UsageFault, match="whose home that is is not known"):
        files.expanded(Path("~there-is-nobody-of-that-name/x"))


@pytest.mark.slow
def test_an_argument_that_is_no_text_is_wrong_usage() -> None:
    command: list[str | bytes] = [sys.executable, "-m", "bmigctl", "list", "--guest", b"\xff"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "is not text in UTF-8" in done.stderr
    assert "BUG" not in done.stderr
