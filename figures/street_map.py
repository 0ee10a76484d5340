"""The street map that the rides of a model imply: true streets in black, streets that illegal turns imply in red,
curved in the direction that the rides name. A ring in blue marks a place where rides end that should end elsewhere.

After the maps of Vafa et al. 2024 (arXiv 2406.03689). Reads the evidence of the metric `map_reconstruction` (an .npz
file), nothing else.
Coordinates: meters east and north of the map's center.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from worldbench.core.arrays import Array, Named
from worldbench.core.text import counted
from worldbench.figures import evidence as files
from worldbench.figures import wrong_ends
from worldbench.figures.style import BLUE, GRAY, INK, RED, literal, paper_style, save, write_csv

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Box = tuple[float, float, float, float]
"""A rectangle: its west, south, east and north edge, in meters."""

FARTHEST = 1e10
"""Metres. Larger than the coordinates of any map."""
NEEDED: Named = {
    "places": Array("text", ("N+",)),
    "directions": Array("text", ("A",)),
    "metres": Array("float", ("N+", 2), least=-FARTHEST, most=FARTHEST),
    "edges": Array("int", ("E", 3), index=("N", "N", "A")),
    "uses": Array("int", ("E",)),
    "black": Array("bool", ("E",)),
    "red": Array("int", ("R", 3), index=("N", "N", "A")),
    "red_uses": Array("int", ("R",)),
    "status": Array("int", ("n",)),
}
"""Shape letters: N places, A directions, E true edges, R red ones, n routes, w routes that end elsewhere."""
OPTIONAL: Named = {
    "map": Array("text"),
    "streets": Array("text", ("E",)),
    "lonlat": Array("float", ("N+", 2)),
    "wrong_ends": Array("int", ("w",), index="N"),
}
MOVES, MOVES_IN_ONE = Array("int", ("n", "L")), Array("int", ("W",))
"""The array `moves`: a row for each ride, or the moves of all rides one after another (`worldbench reconstruct`)."""
COMPASS = {w: np.radians(45.0 * i) for i, w in enumerate(("N", "NE", "E", "SE", "S", "SW", "W", "NW"))}
BEND = 0.55
"""Distance of the control point of a red street from its start, as a share of the distance between its ends."""
LONGEST_SIDE, SHORTEST_SIDE, MARGIN, FOOT = 7.0, 3.4, 0.12, 0.77
"""Sizes of the figure, in inches."""


@dataclass(frozen=True)
class Drawn:
    """Edges to draw. ends: int [K, 2]; direction: int [K]; uses: int [K]; start, control, stop: meters [K, 2] (control:
    of a quadratic Bezier curve)."""

    ends: np.ndarray
    direction: np.ndarray
    uses: np.ndarray
    start: np.ndarray
    control: np.ndarray
    stop: np.ndarray

    def take(self, rows: np.ndarray) -> Drawn:
        return Drawn(*(getattr(self, f)[rows] for f in self.__dataclass_fields__))

    def points(self) -> np.ndarray:
        """Points along the curves, meters [17 K, 2]."""
        along = np.linspace(0, 1, 17)[:, None, None]
        return ((1 - along) ** 2 * self.start + 2 * along * (1 - along) * self.control + along**2 * self.stop).reshape(
            -1, 2
        )

    def inside(self, box: Box) -> Drawn:
        """The edges that may be visible in the box."""
        points = np.stack([self.start, self.control, self.stop])
        low, high = points.min(0), points.max(0)
        return self.take(
            (low[:, 0] <= box[2]) & (high[:, 0] >= box[0]) & (low[:, 1] <= box[3]) & (high[:, 1] >= box[1])
        )


def draw(evidence: Path, out: Path, *, title: str = "", box: Box | None = None) -> list[Path]:
    """Draw the whole map (`out`.png, .svg, .csv) and a part of it (`out`-zoom.*).

    box: the part, in meters. None: the part where the largest number of red streets begins. Without red streets, the
    center. Returns the files that were written.
    Errors: InputError for a file that is no evidence of a map reconstruction.
    """
    data = load(evidence)
    metres = data["metres"]
    black, red = black_streets(data), red_streets(data)
    whole = padded(np.concatenate([metres, red.points()]))
    part = box or _densest(metres, red, whole)
    ends, rides = wrong_ends.wrong_ends(data), wrong_ends.Counts.of(data)
    words, (red_words, _) = (data["places"], data["directions"]), wrong_ends.red_words(data)
    legend = [
        (f"true streets used: {len(black.ends):,} of {len(data['edges']):,}", INK),
        (f"{red_words}: {len(red.ends):,}, by {counted(rides.turned, 'ride')}", RED),
        *rides.lines(),
    ]
    kinds = wrong_ends.red_words(data)[1]
    paths = _picture(Picture(black, red, ends, legend, kinds), whole, out, title, words, mark=part)
    near_black, near_red = black.inside(part), red.inside(part)
    near_ends = None if ends is None else ends.inside(part)
    legend = [
        (f"true streets used, in view: {len(near_black.ends):,}", INK),
        (f"{red_words}, in view: {len(near_red.ends):,}", RED),
        ("" if near_ends is None else f"rides that end elsewhere (rings), in view: {near_ends.total:,}", BLUE),
    ]
    heading = f"{title}, detail" if title else ""
    near = Picture(near_black, near_red, near_ends, legend, kinds)
    return paths + _picture(near, part, out.with_name(f"{out.name}-zoom"), heading, words, mark=None)


@dataclass(frozen=True)
class Picture:
    """What one picture shows. legend: lines of text, each with the color of its mark, if it has one. red_kind: the kind
    of red edges in the CSV file."""

    black: Drawn
    red: Drawn
    ends: wrong_ends.WrongEnds | None
    legend: Sequence[tuple[str, str | None]]
    red_kind: str


def load(path: Path) -> dict[str, np.ndarray]:
    """The arrays of the evidence of a map reconstruction. InputError where the file holds something else."""
    moves = MOVES_IN_ONE if "move_counts" in files.names(path) else MOVES
    return files.read(path, NEEDED, {**OPTIONAL, "moves": moves})


def black_streets(data: dict[str, np.ndarray]) -> Drawn:
    """The true streets that rides use."""
    edges = data["edges"][data["black"]]
    start, stop = data["metres"][edges[:, 0]], data["metres"][edges[:, 1]]
    return Drawn(edges[:, :2], edges[:, 2], data["uses"][data["black"]], start, (start + stop) / 2, stop)


def red_streets(data: dict[str, np.ndarray]) -> Drawn:
    """The red streets of the evidence, each with the curve that sets out in its direction."""
    red = data["red"].reshape(-1, 3)
    start, stop = data["metres"][red[:, 0]], data["metres"][red[:, 1]]
    gap = np.hypot(*(stop - start).T)[:, None]
    bearing = np.array([COMPASS.get(str(w), np.nan) for w in data["directions"]])[red[:, 2]]
    heading = np.stack([np.sin(bearing), np.cos(bearing)], axis=1)
    across = (
        (stop - start)[:, ::-1] * [1, -1] / np.maximum(gap, 1e-9)
    )  # words that are no compass point: the curve bends a little to the right
    control = np.where(np.isnan(heading), (start + stop) / 2 + across * gap / 4, start + heading * gap * BEND)
    return Drawn(red[:, :2], red[:, 2], data["red_uses"], start, control, stop)


def padded(metres: np.ndarray) -> Box:
    """The rectangle around positions [N, 2], with a margin."""
    low, high = metres.min(0), metres.max(0)
    pad = max(0.03 * float((high - low).max()), 10.0)
    return float(low[0] - pad), float(low[1] - pad), float(high[0] + pad), float(high[1] + pad)


def _densest(metres: np.ndarray, red: Drawn, whole: Box) -> Box:
    """A square with the area of about 150 nodes, at most half as wide as the map. It is centered on the red street
    near which most others begin."""
    from scipy.spatial import KDTree

    shorter = min(whole[2] - whole[0], whole[3] - whole[1])
    nearest = KDTree(metres).query(metres, k=2)[0][:, 1]
    side = float(np.clip(12 * np.median(nearest), shorter * 0.1, shorter * 0.5))
    middle = np.array([whole[0] + whole[2], whole[1] + whole[3]]) / 2
    if len(red.start):
        tree = KDTree(red.start)
        crowd = tree.query_ball_point(red.start, side / 2, p=np.inf, return_length=True)
        middle = red.start[int(np.argmax(crowd))]
    else:
        middle = metres[int(np.argmin(np.hypot(*(metres - middle).T)))]
    return (
        float(middle[0] - side / 2),
        float(middle[1] - side / 2),
        float(middle[0] + side / 2),
        float(middle[1] + side / 2),
    )


def _picture(picture: Picture, box: Box, stem: Path, title: str, words: tuple, mark: Box | None) -> list[Path]:
    black, red = picture.black, picture.red
    with paper_style():
        figure, axes, metres_per_point = frame(box, title)
        drawn = (
            black if len(black.ends) else red
        )  # lines are thinner and arrowheads smaller where streets are short on paper
        points = (
            float(np.median(np.hypot(*(drawn.stop - drawn.start).T))) / metres_per_point if len(drawn.ends) else 0.0
        )
        scale = min(points / 40, 1.0)
        draw_lines(axes, black, INK, 0.3 + 0.7 * scale)
        draw_curves(axes, red, 0.4 + 0.7 * scale, metres_per_point * (1.3 + 4.5 * scale))
        if picture.ends is not None:
            wrong_ends.draw_rings(axes, picture.ends, scale)
        if mark is not None:
            from matplotlib.patches import Rectangle

            axes.add_patch(
                Rectangle(
                    (mark[0], mark[1]),
                    mark[2] - mark[0],
                    mark[3] - mark[1],
                    fill=False,
                    edgecolor=GRAY,
                    linewidth=0.8,
                    zorder=5,
                )
            )
        _foot(figure, picture.legend, metres_per_point)
        paths = save(figure, stem)
    table = stem.with_name(f"{stem.name}.csv")
    columns = ("from", "to", "direction", "kind", "uses", "from_east", "from_north", "to_east", "to_north")
    rows = edge_rows(black, "true", words) + edge_rows(red, picture.red_kind, words)
    return [*paths, write_csv(table, columns, rows + wrong_ends.rows(picture.ends, words[0]))]


def frame(box: Box, title: str) -> tuple[Figure, Axes, float]:
    """A figure whose axes show exactly `box`, to scale, over a strip for the legend; and meters per point."""
    from matplotlib.figure import Figure

    width, height = box[2] - box[0], box[3] - box[1]
    inches_per_metre = min(LONGEST_SIDE / height, LONGEST_SIDE / width)
    map_width, map_height = width * inches_per_metre, height * inches_per_metre
    top = 0.32 if title else MARGIN
    total_width, total_height = max(map_width, SHORTEST_SIDE) + 2 * MARGIN, map_height + FOOT + top
    figure = Figure(figsize=(total_width, total_height), facecolor="white")
    axes = figure.add_axes(
        (
            (total_width - map_width) / 2 / total_width,
            FOOT / total_height,
            map_width / total_width,
            map_height / total_height,
        )
    )
    axes.set_xlim(box[0], box[2])
    axes.set_ylim(box[1], box[3])
    axes.set_axis_off()
    if title:
        figure.text(0.5, 1 - 0.17 / total_height, literal(title), ha="center", va="center", fontsize=9, color=INK)
    return figure, axes, 1 / (inches_per_metre * 72)


def draw_lines(axes: Axes, edges: Drawn, color: str, width: float) -> None:
    """Straight streets as one path; the two directions of a street are one line."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    if not len(edges.ends):
        return
    _, once = np.unique(np.sort(edges.ends, axis=1), axis=0, return_index=True)
    points = np.stack([edges.start[once], edges.stop[once]], axis=1).reshape(-1, 2)
    codes = np.tile([Outline.MOVETO, Outline.LINETO], len(once))
    axes.add_patch(
        PathPatch(Outline(points, codes), fill=False, edgecolor=color, linewidth=width, capstyle="round", zorder=2)
    )


def draw_curves(axes: Axes, edges: Drawn, width: float, head: float, color: str = RED) -> None:
    """Red streets as one path of quadratic curves, each with an arrowhead of `head` meters at its end."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    if not len(edges.ends):
        return
    points = np.stack([edges.start, edges.control, edges.stop], axis=1).reshape(-1, 2)
    codes = np.tile([Outline.MOVETO, Outline.CURVE3, Outline.CURVE3], len(edges.ends))
    axes.add_patch(
        PathPatch(Outline(points, codes), fill=False, edgecolor=color, linewidth=width, capstyle="round", zorder=3)
    )
    along = edges.stop - edges.control  # a quadratic curve arrives along this line
    size = np.hypot(*along.T)[:, None]
    along = along / np.maximum(size, 1e-9)
    across = along[:, ::-1] * [1, -1]
    back = edges.stop - along * head
    corners = np.stack(
        [edges.stop, back + across * head * 0.38, back - across * head * 0.38, edges.stop], axis=1
    ).reshape(-1, 2)
    codes = np.tile([Outline.MOVETO, Outline.LINETO, Outline.LINETO, Outline.CLOSEPOLY], len(edges.ends))
    axes.add_patch(PathPatch(Outline(corners, codes), facecolor=color, edgecolor="none", zorder=4))


def legend_line(figure: Figure, left: float, y: float, text: str, color: str | None) -> None:
    """A line of a legend, with its left end and its center in inches. Its mark is a ring for BLUE, else a stroke."""
    from matplotlib.lines import Line2D

    width, height = figure.get_size_inches()
    if color == BLUE:
        ring: dict[str, Any] = {"marker": "o", "markersize": 5, "markerfacecolor": "none", "markeredgecolor": color}
        figure.add_artist(Line2D([(left + 0.11) / width], [y / height], linestyle="none", **ring))
    elif color is not None:
        ends = [left / width, (left + 0.22) / width]
        figure.add_artist(Line2D(ends, [y / height] * 2, color=color, linewidth=1.2))
    figure.text((left + 0.3) / width, y / height, text, va="center", fontsize=7, color=INK)


def _foot(figure: Figure, legend: Sequence[tuple[str, str | None]], metres_per_point: float) -> None:
    """The legend at the left of the strip, the scale bar at its right."""
    from matplotlib.lines import Line2D

    width, height = figure.get_size_inches()
    for row, (text, color) in enumerate(line for line in legend if line[0]):
        legend_line(figure, MARGIN, FOOT - 0.16 - 0.15 * row, text, color)
    metres = _round_length(0.22 * min(width, LONGEST_SIDE) * 72 * metres_per_point)
    bar = metres / metres_per_point / 72
    right, y = (width - MARGIN) / width, (FOOT - 0.34) / height
    left, tick = right - bar / width, 0.035 / height
    for x, line in (
        ((left, right), (y, y)),
        ((left, left), (y - tick, y + tick)),
        ((right, right), (y - tick, y + tick)),
    ):
        figure.add_artist(Line2D(x, line, color=INK, linewidth=0.8))
    label = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"
    figure.text((left + right) / 2, y + 0.1 / height, label, ha="center", va="center", fontsize=7, color=INK)


def _round_length(metres: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not above `metres`."""
    power = 10.0 ** np.floor(np.log10(max(metres, 1e-9)))
    return float(max(k for k in (1, 2, 5) if k * power <= metres * (1 + 1e-9)) * power)


def edge_rows(edges: Drawn, kind: str, words: tuple[np.ndarray, np.ndarray]) -> list[tuple]:
    places, directions = words
    start, stop = np.round(edges.start, 1).tolist(), np.round(edges.stop, 1).tolist()
    return [
        (str(places[u]), str(places[v]), str(directions[a]), kind, uses, *s, *t)
        for (u, v), a, uses, s, t in zip(
            edges.ends.tolist(), edges.direction.tolist(), edges.uses.tolist(), start, stop
        )
    ]
