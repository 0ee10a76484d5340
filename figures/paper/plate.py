"""A picture of a paper: its data, its caption, and how it looks in the width of one column and of two.

Six colors are those of Okabe and Ito (Color Universal Design, 2008), without the yellow, which is too light for lines
on white; two dark ones follow. Models also differ in markers and hatching. Variants of a model share its color, and
differ in lines and markers.
"""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from worldbench.core.files import write_atomic
from worldbench.figures import style
from worldbench.figures.paper.groups import Series
from worldbench.figures.style import literal, paper_style, write_csv

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

WIDTHS = {"1col": 3.25, "2col": 6.75}
"""Widths in inches: one column and two columns of a page."""
KINDS: tuple[Literal["pdf", "svg", "png"], ...] = ("pdf", "svg", "png")
DPI = 300
"""Dots per inch of PNG files."""
BLACK, DARK = "#000000", "#595959"
ORANGE, SKY, GREEN, DEEP_BLUE, VERMILION, PURPLE = "#e69f00", "#56b4e9", "#009e73", "#0072b2", "#d55e00", "#cc79a7"
COLORS = (DEEP_BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, "#882255", "#7a7a00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----", "++++", "oooo")
LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)))
FIXED: dict[str, tuple[str, Any, str]] = {
    "oracle": (BLACK, (0, (4, 2)), ""),
    "random-legal": (DARK, (0, (1, 1.5)), ""),
    "uniform": ("#8a8a8a", (0, (1, 1.5)), ""),
    "untrained": (DARK, (0, (5, 2, 1, 2)), ""),
    "ngram": (DARK, (0, (3, 1, 1, 1, 1, 1)), ""),
}
"""References: color, line and marker, the same in every figure."""


@dataclass(frozen=True)
class Look:
    """How a model is drawn."""

    color: str
    line: Any
    marker: str
    hatch: str


@dataclass(frozen=True)
class Plate:
    """One picture. name: stem of its files. draw: width in inches -> figure; called within `paper_style`. rows: the
    data, under `columns`. caption: a sentence or two for the text below the picture."""

    name: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    draw: Callable[[float], Figure]

    def write(self, out: Path, widths: Sequence[str]) -> list[Path]:
        """Write the picture as PDF, SVG and PNG in each width, and the data as CSV. Returns the files."""
        paths = []
        for width in widths:
            with paper_style():
                figure = self.draw(WIDTHS[width])
                for kind in KINDS:
                    paths.append(out / f"{self.name}-{width}.{kind}")
                    write_atomic(paths[-1], style.picture(figure, kind, dpi=DPI))
        return [*paths, write_csv(out / f"{self.name}.csv", self.columns, self.rows)]


def looks(models: Mapping[str, str]) -> dict[str, Look]:
    """A look for each label (label -> name of its model), the same in every figure of a folder."""
    names = list(dict.fromkeys(models.values()))
    out, variants = {}, Counter[str]()
    for i, (label, name) in enumerate(models.items()):
        k, variant = names.index(name), variants[name]
        variants[name] += 1
        line = LINES[(k // len(COLORS) + variant) % len(LINES)]
        out[label] = Look(COLORS[k % len(COLORS)], line, MARKERS[i % len(MARKERS)], HATCHES[i % len(HATCHES)])
    return out


def look_of(series: Series, known: dict[str, Look]) -> Look:
    """The look of a model, or that of a reference."""
    if series.reference or series.label not in known:
        color, line, marker = FIXED.get(series.label, (DARK, (0, (2, 1)), ""))
        return Look(color, line, marker, "")
    return known[series.label]


def seeds_of(series: Sequence[Series]) -> str:
    """A clause about seeds for captions: "mean and 95% t interval over 5 training seeds"."""
    counts = sorted({len(s.runs) for s in series if not s.reference})
    if not counts or counts[-1] == 1:
        return "one training seed, so no interval"
    number = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"mean and 95% t interval over {number} training seeds"


def rows_for(width: float, panels: int, least: float = 1.5) -> tuple[int, int]:
    """(rows, columns) of `panels` panels that are each at least `least` inches wide."""
    columns = max(1, min(panels, int(width / least)))
    rows = -(-panels // columns)
    return rows, -(-panels // rows)


LEGEND_ROW = 0.165
"""Inches."""


def legend_columns(labels: Sequence[str], width: float) -> int:
    """The number of columns of a legend in a figure of `width` inches."""
    longest = max(map(len, labels), default=1)
    return max(1, min(len(labels), int(width / (0.42 + 0.055 * longest))))


def legend_height(labels: Sequence[str], width: float) -> float:
    """The height of a legend in inches."""
    return LEGEND_ROW * -(-len(labels) // legend_columns(labels, width)) + 0.1


def legend_below(figure: Figure, axes: Iterable[Axes], width: float) -> None:
    """One legend for all panels, below them, with each label once. The figure grows by the height of the legend."""
    marks: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels()):
            marks.setdefault(label, handle)
    figure.set_figheight(figure.get_figheight() + legend_height(list(marks), width))
    figure.legend(
        list(marks.values()), list(marks), loc="outside lower center", ncols=legend_columns(list(marks), width),
        handlelength=2.2, fontsize=7, columnspacing=1.0, handletextpad=0.5,
    )  # fmt: skip


def in_lines(label: str, inches: float, size: float) -> str:
    """A label in lines that fit a panel: the options of a variant below the name of the model. size: of the letters, in
    points. The text draws every character as it is."""
    name, _, options = label.partition("[")
    return "\n".join(map(literal, [name, *wrapped(options.removesuffix("]").replace(",", ", "), inches, size)]))


def wrapped(text: str, inches: float, size: float) -> list[str]:
    """Lines of text that fit a panel. size: of the letters, in points."""
    return textwrap.wrap(text, max(8, int(inches * 72 / (0.58 * size))))


def label_outside(axes: np.ndarray, panels: int, x: str, y: str) -> None:
    """Label the lowest panel of each column and the first panel of each row, of a grid [rows, columns] in which the
    first `panels` are used."""
    columns = axes.shape[1]
    for i, axis in enumerate(axes.flat[:panels]):
        if not i % columns:
            axis.set_ylabel(y)
        if i + columns >= panels:
            axis.set_xlabel(x)
            axis.tick_params(labelbottom=True)
    for axis in axes.flat[panels:]:
        axis.set_axis_off()


def plain_log_ticks(axis: Axis) -> None:
    """Plain numbers at 1, 2 and 5 times powers of ten where a logarithmic axis is short, else at powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    decades = math.log10(high / low) if 0 < low < high else 1.0
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 1.5 else (1, 3) if decades < 2.5 else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}" if x < 1e4 else f"{x:,.0f}"))
    axis.set_minor_formatter(NullFormatter())
