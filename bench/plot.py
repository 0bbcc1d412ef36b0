"""A plot of medians and ranges as plain SVG text: panels of grouped bars, one axis each.

A dashed line is a target.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TypeVar

from bench.figures import Spread, spread

COLOURS = ("#1b6ca8", "#8fc1e3", "#3a8f5c", "#a9d8b8", "#b5542b", "#e0a184", "#7a5195")
WIDTH, PANEL, TOP, LEFT, GAP, LEGEND_ROW = 760, 190, 30, 60, 46, 20


@dataclass(frozen=True)
class Panel:
    """One figure: for each group the bars of each series."""

    title: str
    groups: Mapping[str, Mapping[str, Spread]]
    target: float | None = None  # a line across


T = TypeVar("T")
Taken = Mapping[str, Mapping[str, Sequence[T]]]  # by group, by series


def panels_of(figures: Mapping[str, Callable[[T], float]], taken: Taken[T]) -> list[Panel]:
    """Each figure of everything that was taken."""
    return [
        Panel(
            figure,
            {
                group: {name: spread([value(one) for one in some]) for name, some in series.items()}
                for group, series in taken.items()
            },
        )
        for figure, value in figures.items()
    ]


def svg(title: str, series: Sequence[str], panels: Sequence[Panel], note: str = "") -> str:
    """The text of an SVG file; the note comes last, small."""
    legend = LEGEND_ROW * -(-len(series) // 2) + 10
    height = TOP + legend + len(panels) * (PANEL + GAP) + (LEGEND_ROW if note else 0)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        _text(LEFT, 20, title, "start", "bold"),
    ]
    for number, name in enumerate(series):
        x, y = LEFT + number % 2 * 330, TOP + LEGEND_ROW * (number // 2)
        lines.append(_rectangle(x, y, 12, 12, _colour(number)))
        lines.append(_text(x + 18, y + 11, name, "start"))
    for number, panel in enumerate(panels):
        lines += _panel(panel, series, TOP + legend + number * (PANEL + GAP) + 22)
    lines += [_text(LEFT, height - 8, note, "start")] if note else []
    return "\n".join([*lines, "</svg>", ""])


def _panel(panel: Panel, series: Sequence[str], top: int) -> list[str]:
    drawn = [bar.most for bars in panel.groups.values() for bar in bars.values()]
    most = max([*drawn, panel.target or 0.0]) or 1.0
    bottom = top + PANEL - 20
    scale = (bottom - top) / most
    lines = [_text(LEFT, top - 8, panel.title, "start", "bold")]
    for share in (0.0, 0.5, 1.0):
        y = bottom - share * most * scale
        lines.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - 20}" stroke="#ccc"/>')
        lines.append(_text(LEFT - 6, y + 4, f"{share * most:.3g}", "end"))
    if panel.target is not None:
        y = bottom - panel.target * scale
        lines.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - 20}" stroke="#b00" stroke-dasharray="6"/>')
    step = (WIDTH - 20 - LEFT) / len(panel.groups)
    for place, (group, bars) in enumerate(panel.groups.items()):
        begins = LEFT + place * step
        lines.append(_text(begins + step / 2, bottom + 16, group, "middle"))
        width = (step - 24) / len(series)
        for number, name in enumerate(series):
            if name in bars:
                x = begins + 12 + number * width
                lines += _bar(x, bottom, width, bars[name], scale, _colour(number))
    return lines


def _bar(
    x: float, bottom: float, width: float, bar: Spread, scale: float, colour: str
) -> list[str]:
    height, middle = bar.median * scale, x + width / 2
    low, high = bottom - bar.least * scale, bottom - bar.most * scale
    return [
        _rectangle(x, bottom - height, width - 3, height, colour),
        f'<path d="M{middle - 1.5:.1f} {low:.1f}V{high:.1f}" stroke="#222"/>',
    ]


def _rectangle(x: float, y: float, width: float, height: float, colour: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'
    )


def _text(x: float, y: float, words: str, anchor: str, weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">'
        f"{escape(words)}</text>"
    )


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]
