"""Sizes, rates and times are read and written with their units."""

import pytest
from bmigctl import units
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), ("512", 512), ("1K", 1024), ("256M", 256 << 20), ("4g", 4 << 30), ("2MiB", 2 << 20)],
)
def test_sizes_are_read_in_powers_of_1024(text: str, count: int) -> None:
    assert units.parse_size(text) == count


@pytest.mark.parametrize("text", ["", "M", "-1", "1.5G", "12X", "1 M B", "0x10"])
def test_what_is_no_size_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        units.parse_size(text)


def test_a_rate_may_name_its_second() -> None:
    assert units.parse_rate("100M/s") == units.parse_rate("100M") == 100 << 20
    assert units.parse_rate("none") == 0


BYTES = ["0", "100", "100/s", "100 /s", "100B", "100 B/s", "1iB"]


@pytest.mark.parametrize("text", ["fast", "", "-1", "0M", *BYTES, "16777216T"])
def test_what_is_no_rate_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is not a rate such as 100M"):
        units.parse_rate(text)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (256 << 20, "256 MiB"),
        (1023 << 20, "1023 MiB"),
        (1536 << 20, "1.5 GiB"),
    ],
)
def test_sizes_are_written_with_their_unit(count: int, text: str) -> None:
    assert units.size(count) == text


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (850, "0.85 ms"),
        (214_000, "214 ms"),
        (3_240_000, "3.2 s"),
        (125_000_000, "2 min 5 s"),
        (7_260_000_000, "2 h 1 min"),
    ],
)
def test_times_are_written_with_their_unit(microseconds: int, text: str) -> None:
    assert units.duration_us(microseconds) == text


@given(st.integers(0, 1 << 63))
def test_any_size_and_time_can_be_written(number: int) -> None:
    assert units.size(number)[0].isdigit()
    assert units.duration_us(number)[0].isdigit()
