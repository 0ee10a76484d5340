"""The picture of a street map: two-way streets as black lines, one-way streets as green lines, with
arrowheads on maps of few streets.

Shape letters: N places, E moves.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from worldbench.core.graph import Graph
from worldbench.core.text import counted
from worldbench.figures.street_map import FOOT, MARGIN, frame, legend_line, padded
from worldbench.figures.style import INK, literal, paper_style, save, write_csv

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ONE_WAY = "#1b7f79"
"""The color of one-way streets. Blue would mark a place in the legend."""
MOST_ARROWS, MOST_NAMES = 1500, 60
"""One-way streets have arrowheads on maps of at most MOST_ARROWS moves; intersections have names on maps of at most
MOST_NAMES intersections whose names say something."""
LONGEST_NAME = 24
"""Most characters of a name in the picture."""


def draw(graph: Graph, stem: Path, *, title: str = "") -> list[Path]:
    """Draw `stem`.png, .svg and .csv (a row per move). Returns the files that were written."""
    source, target, direction = graph.edges.T
    moves = set(zip(source.tolist(), target.tolist()))
    both = np.array([(b, a) in moves for a, b in zip(source.tolist(), target.tolist())], bool)
    start, stop = graph.metres[source], graph.metres[target]
    with paper_style():
        figure, axes, metres_per_point = frame(padded(graph.metres), title)
        middle = float(np.median(np.hypot(*(stop - start).T))) / metres_per_point if len(source) else 1.0
        width = float(np.clip(middle / 25, 0.3, 1.2))
        _lines(axes, start[both], stop[both], INK, width)
        _lines(axes, start[~both], stop[~both], ONE_WAY, width)
        if len(source) <= MOST_ARROWS:
            _arrows(axes, start[~both], stop[~both], width, 4.5 * metres_per_point * width)
        names = any(any(c.isalpha() for c in place) for place in graph.places)
        low, high = float(graph.metres[:, 0].min()), float(graph.metres[:, 0].max())
        if names and graph.n_places <= MOST_NAMES:
            for place, (east, north) in zip(graph.places, graph.metres.tolist()):
                text = place if len(place) <= LONGEST_NAME else f"{place[: LONGEST_NAME - 2]}.."
                side = "right" if east > high - 0.15 * (high - low) else "left"
                axes.text(east, north, literal(f" {text} "), fontsize=4, color=INK, va="bottom", ha=side, zorder=5)
        roads = int(both.sum()) // 2
        rows = (
            (counted(graph.n_places, "intersection"), None),
            (f"two-way: {counted(roads, 'street')}", INK),
            (f"one-way: {counted(int((~both).sum()), 'street')}", ONE_WAY),
        )
        for row, (text, color) in enumerate(rows):
            legend_line(figure, MARGIN, FOOT - 0.16 - 0.15 * row, text, color)
        paths = save(figure, stem)
    columns = (
        "from",
        "to",
        "direction",
        "street",
        "meters",
        "two_way",
        "from_east",
        "from_north",
        "to_east",
        "to_north",
    )
    places, meters = graph.places, np.round(graph.length[source, direction], 1).tolist()
    ends = np.round(np.concatenate([start, stop], axis=1), 1).tolist()
    rows_of = zip(source, target, direction, meters, both.tolist(), ends)
    table = [
        [places[a], places[b], graph.directions[d], graph.street[a, d], length, two, *at]
        for a, b, d, length, two, at in rows_of
    ]
    return [*paths, write_csv(stem.with_name(f"{stem.name}.csv"), columns, table)]


def _lines(axes: Axes, start: np.ndarray, stop: np.ndarray, color: str, width: float) -> None:
    from matplotlib.collections import LineCollection

    axes.add_collection(LineCollection(list(np.stack([start, stop], axis=1)), colors=color, linewidths=width, zorder=2))


def _arrows(axes: Axes, start: np.ndarray, stop: np.ndarray, width: float, size: float) -> None:
    """A triangle in the middle of each street; size: its length in meters."""
    from matplotlib.collections import PolyCollection

    if not len(start):
        return
    along = stop - start
    along = along / np.maximum(np.hypot(*along.T), 1e-9)[:, None]
    across = along[:, ::-1] * [1, -1]
    tip = (start + stop) / 2 + along * size / 2
    back = tip - along * size
    corners = np.stack([tip, back + across * size * 0.4, back - across * size * 0.4], axis=1)
    axes.add_collection(
        PolyCollection(list(corners), facecolors=ONE_WAY, edgecolors="none", linewidths=width, zorder=3)
    )
