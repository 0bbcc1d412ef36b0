"""Words of others are bounded and printable wherever they go: errors, logs, the journal."""

import pytest

from bmigd.__main__ import bounded
from bmigd.errors import Invalid, StartFailed
from bmigd.words import limit, rate, short

HOSTILE = "\x1b[2J\U000e0001\n\u202e" * 400_000


def test_short_words_stay_as_they_are() -> None:
    assert short("guest web1 läuft") == "guest web1 läuft"
    assert short("a" * 1000) == "a" * 1000


def test_long_words_are_cut_and_what_steers_a_terminal_is_a_space() -> None:
    shown = short(HOSTILE)
    assert len(shown) == 1000
    assert shown.isprintable()
    assert short("ab\x1b\ncd", 5) == "ab  …"


@pytest.mark.parametrize("kind", [Invalid, StartFailed])
def test_no_error_carries_more(kind: type[Invalid] | type[StartFailed]) -> None:
    error = kind(HOSTILE, HOSTILE, HOSTILE, guest=HOSTILE, location=HOSTILE)
    for words in (error.reason, error.message, error.advice, error.guest, error.location):
        assert len(words) <= 1000
        assert words.isprintable()


def test_no_line_of_the_log_carries_more() -> None:
    facts = bounded(None, "warning", {"event": "denied", "guest": HOSTILE, "pid": 7, "why": None})
    assert facts["pid"] == 7
    assert facts["why"] is None
    assert len(facts["guest"]) == 1000
    assert facts["guest"].isprintable()


@pytest.mark.parametrize(
    ("bytes_per_s", "text"),
    [
        (0, "0 B/s"),
        (1, "1 B/s"),
        (1023, "1023 B/s"),
        (512 << 10, "512 KiB/s"),
        (40 << 20, "40 MiB/s"),
        ((120 << 20) / 7, "17.1 MiB/s"),
        (1000 << 20, "1000 MiB/s"),
        (1536 << 20, "1.5 GiB/s"),
    ],
)
def test_a_rate_has_its_unit(bytes_per_s: float, text: str) -> None:
    assert rate(bytes_per_s) == text


def test_no_limit_is_none() -> None:
    assert (limit(0), limit(40 << 20)) == ("none", "40 MiB/s")
