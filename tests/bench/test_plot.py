"""A plot shows what it is given: a bar and a range for each value, a line for a target."""

import pytest

from bench.figures import spread, told
from bench.plot import Panel, svg

ONE, OTHER = "one", "one & <other>"


def test_each_value_is_a_bar_and_its_range_a_line() -> None:
    panel = Panel("ms", {"a": {ONE: spread([1, 2, 4]), OTHER: spread([8])}})
    text = svg("title", (ONE, OTHER), [panel])
    assert text.count("<rect") == 1 + 2 + 2  # the ground, the legend, the bars
    assert text.count('stroke="#222"') == 2
    assert "one &amp; &lt;other&gt;" in text
    assert ">8<" in text


def test_a_target_is_a_dashed_line_and_fits_in() -> None:
    panel = {"group": {ONE: spread([1.0])}}
    without, with_one = (
        svg("title", (ONE,), [Panel("ratio", panel, target)]) for target in (None, 4.0)
    )
    assert "stroke-dasharray" not in without
    assert with_one.count("stroke-dasharray") == 1
    assert ">4<" in with_one


def test_a_plot_of_nothing_but_zeros_is_one() -> None:
    text = svg("title", (ONE,), [Panel("ms", {"group": {ONE: spread([0.0])}})])
    assert "nan" not in text


@pytest.mark.parametrize(
    ("whence", "words"),
    [
        (
            {"machine": "x", "commit": "c", "load_average": 0.5},
            "x; commit c; load 0.5 when it ended",
        ),
        ({"machine": "x"}, "x; commit unknown"),
        (
            {"commit": "c", "busy_before_percent": 3.4},
            "commit c; processors 3 % busy before it began",
        ),
    ],
)
def test_a_plot_says_where_its_figures_are_from(whence: dict[str, object], words: str) -> None:
    assert told(whence) == words
    text = svg("title", (ONE,), [Panel("ms", {"group": {ONE: spread([1.0])}})], told(whence))
    assert f">{words}</text>" in text
