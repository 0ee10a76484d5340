"""The maze that the rides of a model imply, drawn over the true maze: passages that the rides use in black, moves
through walls in red. A ring in blue marks a cell where rides end that should end elsewhere.

Drawn from the evidence of `map_reconstruction` where that is the evidence of a maze on a grid (see `grid_of`), whatever
world it comes from; red ways that do not lead straight to the next cell are curves, as on the street map. Coordinates:
meters east and north. Shape letters: N cells, E moves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from worldbench.core.text import counted
from worldbench.figures import street_map, wrong_ends
from worldbench.figures.street_map import Drawn
from worldbench.figures.style import GRAY, INK, RED, paper_style, save, write_csv

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = {"N": (0, 1), "E": (1, 0), "S": (0, -1), "W": (-1, 0)}
UNUSED, ROCK = "#c4c4c4", "#e9e9e9"
SURROUND, MARGIN = 0.7, 0.1
MOST_SQUARES = 250_000
"""Largest number of cells in the rectangle around a maze that is drawn."""
"""Margins in cells beyond the outermost centers, for the outer walls, and beyond the outermost curves."""


@dataclass(frozen=True)
class Grid:
    """A maze of square cells. side: meters. corner: the south-west cell's center. at: int [N, 2], columns from the
    west, rows from the south. shape: both."""

    side: float
    corner: np.ndarray
    at: np.ndarray
    shape: tuple[int, int]


def grid_of(data: dict[str, np.ndarray]) -> Grid | None:
    """The grid of the true map in the evidence; None if the map is no grid. On a grid every move leads N, E, S or W,
    all moves have the same length, and each has a move back."""
    edges, metres = data["edges"].reshape(-1, 3), data["metres"]
    words = [str(w) for w in data["directions"]]
    if not len(edges) or any(words[d] not in STEPS for d in np.unique(edges[:, 2])):
        return None
    gap = metres[edges[:, 1]] - metres[edges[:, 0]]
    side = float(np.abs(gap).max())
    along = np.array([STEPS.get(w, (0, 0)) for w in words])[edges[:, 2]]
    both = {(u, v) for u, v, _ in edges.tolist()}
    if side <= 0 or np.abs(gap - along * side).max() > 1e-3 * side or any((v, u) not in both for u, v in both):
        return None
    corner = metres.min(0)
    at = np.rint((metres - corner) / side).astype(np.int64)
    if np.abs(metres - corner - at * side).max() > 1e-3 * side or len(np.unique(at, axis=0)) < len(at):
        return None
    columns, rows = (int(n) + 1 for n in at.max(0))
    return Grid(side, corner, at, (columns, rows)) if columns * rows <= MOST_SQUARES else None


def draw(evidence: Path, out: Path, *, title: str = "") -> list[Path]:
    """Write `out`.png, .svg and .csv. Returns the files written: none where the evidence is not that of a maze on a
    grid.

    Errors: InputError for a file that is no evidence of a map reconstruction.
    """
    data = street_map.load(evidence)
    grid = grid_of(data)
    if grid is None:
        return []
    edges = data["edges"]
    start, stop = data["metres"][edges[:, 0]], data["metres"][edges[:, 1]]
    true = Drawn(edges[:, :2], edges[:, 2], data["uses"], start, (start + stop) / 2, stop)
    red = street_map.red_streets(data)
    step = np.array([STEPS.get(str(w), (0, 0)) for w in data["directions"]])[red.direction]
    through = (grid.at[red.ends[:, 1]] - grid.at[red.ends[:, 0]] == step).all(1)
    used = data["black"].astype(bool)
    elsewhere = _bent(red.take(~through), grid.side)
    kinds = (
        ("true", true.take(used)),
        ("unused", true.take(~used)),
        ("through a wall", red.take(through)),
        ("elsewhere", elsewhere),
    )
    ends, rides = wrong_ends.wrong_ends(data), wrong_ends.Counts.of(data)
    forced = "" if wrong_ends.moves_alone(data) else " (forced end)"
    legend = (
        (f"passages used: {int(used.sum()):,} of {counted(len(edges), 'move')}", INK),
        (f"never used: {int((~used).sum()):,}", UNUSED),
        (f"through walls: {int(through.sum()):,}; to other cells: {int((~through).sum()):,}{forced}", RED),
        *reversed(rides.lines()),
    )
    with paper_style():
        figure = _picture(grid, kinds, ends, title, legend)
        paths = save(figure, out)
    columns = ("from", "to", "direction", "kind", "uses", "from_east", "from_north", "to_east", "to_north")
    words = (data["places"], data["directions"])
    rows = [row for kind, drawn in kinds for row in street_map.edge_rows(drawn, kind, words)]
    rows += wrong_ends.rows(ends, data["places"])
    return [*paths, write_csv(out.with_name(f"{out.name}.csv"), columns, rows)]


def _bent(edges: Drawn, side: float) -> Drawn:
    """The curves. A curve along a row or column of cells, which would hide the passages there, is bent aside."""
    (x, y), (u, v) = (edges.control - edges.start).T, (edges.stop - edges.start).T
    flat = np.abs(x * v - y * u) < 1e-6 * side * side
    aside = np.stack([v, -u], axis=1) / np.maximum(np.hypot(u, v), 1e-9)[:, None] * side * 0.8
    return replace(edges, control=edges.control + np.where(flat[:, None], aside, 0.0))


def walls(grid: Grid, joined: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the cells' walls stand, as segments [W, 2, 2] in metres, and the squares without a cell: south-west corners
    [S, 2].

    joined: int [E, 2], the cells that a passage joins.
    """
    columns, rows = grid.shape
    cell = np.full((columns + 2, rows + 2), -1)  # a margin without cells
    cell[grid.at[:, 0] + 1, grid.at[:, 1] + 1] = np.arange(len(grid.at))
    passage = {(u, v) for u, v in joined.tolist()}
    segments = []
    for x in range(columns + 1):
        for y in range(rows + 1):
            here, low = cell[x, y], grid.corner + (np.array([x, y]) - 1.5) * grid.side
            for other, far in ((cell[x + 1, y], (1, 0)), (cell[x, y + 1], (0, 1))):
                if (here >= 0 or other >= 0) and (here, other) not in passage:
                    begin = low + np.array(far) * grid.side
                    segments.append((begin, begin + np.array(far[::-1]) * grid.side))
    empty = np.argwhere(cell[1:-1, 1:-1] < 0)
    return np.array(segments), grid.corner + (empty - 0.5) * grid.side


def _picture(
    grid: Grid,
    kinds: tuple[tuple[str, Drawn], ...],
    ends: wrong_ends.WrongEnds | None,
    title: str,
    legend: tuple[tuple[str, str | None], ...],
) -> Figure:
    from matplotlib.collections import LineCollection, PatchCollection
    from matplotlib.patches import Rectangle

    (_, used), (_, unused), (_, through), (_, elsewhere) = kinds
    curves = elsewhere.points()
    low = np.minimum(grid.corner - SURROUND * grid.side, curves.min(0, initial=np.inf) - MARGIN * grid.side)
    high = np.maximum(
        grid.corner + (np.array(grid.shape) - 1 + SURROUND) * grid.side,
        curves.max(0, initial=-np.inf) + MARGIN * grid.side,
    )
    figure, axes, metres_per_point = street_map.frame(
        (float(low[0]), float(low[1]), float(high[0]), float(high[1])), title
    )
    cell = grid.side / metres_per_point  # in points on paper
    thin = min(cell / 30, 1.0)
    segments, rock = walls(grid, np.concatenate([used.ends, unused.ends]))
    axes.add_collection(
        PatchCollection(
            [Rectangle((x, y), grid.side, grid.side) for x, y in rock], facecolor=ROCK, edgecolor="none", zorder=1
        )
    )
    axes.add_collection(
        LineCollection(list(segments), colors=GRAY, linewidths=max(0.08 * cell, 0.8), capstyle="projecting", zorder=2)
    )
    street_map.draw_lines(axes, unused, UNUSED, 0.4 + 0.6 * thin)
    street_map.draw_lines(axes, used, INK, 0.5 + 0.9 * thin)
    for red in (elsewhere, through):
        street_map.draw_curves(axes, red, 0.5 + 0.7 * thin, metres_per_point * (1.3 + 4.5 * thin))
    if ends is not None:
        wrong_ends.draw_rings(axes, ends, thin)
    _foot(figure, legend)
    return figure


def _foot(figure: Figure, legend: tuple[tuple[str, str | None], ...]) -> None:
    """Short lines in two columns under the maze."""
    width = figure.get_size_inches()[0]
    margin = street_map.MARGIN
    for i, (text, color) in enumerate(line for line in legend if line[0]):
        left = margin + (i // 3) * (width - margin) / 2
        street_map.legend_line(figure, left, street_map.FOOT - 0.2 - 0.17 * (i % 3), text, color)
