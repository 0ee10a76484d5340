"""What training documents cover of a map: the streets by their number of rides, and the share of streets and pairs that
a given number of rides covers.

Shape letters: N places, E streets, K points of a curve.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from worldbench.core.graph import Graph
from worldbench.core.text import counted
from worldbench.figures.street_map import FOOT, MARGIN, frame, legend_line, padded
from worldbench.figures.style import BLUE, GRAY, INK, RED, literal, paper_style, save, write_csv

SHADES = "viridis_r"
"""From few rides, light, to many rides, dark."""


def draw_map(
    graph: Graph, users: np.ndarray, moves: np.ndarray, first: np.ndarray, stem: Path, *, title: str = ""
) -> list[Path]:
    """Draw `stem`.png, .svg and .csv: every street, colored by the number of rides that use it. Streets without a ride
    are red and dashed. The two directions of a street are two lines, each on its right-hand side.

    users, moves, first: for each street (`graph.edges`), how many rides use it, how often they do, and the first of
    them, int [E].
    """
    source, target, direction = graph.edges.T
    start, stop = graph.metres[source], graph.metres[target]
    along = stop - start
    size = np.maximum(np.hypot(*along.T), 1e-9)[:, None]
    shift = np.stack([along[:, 1], -along[:, 0]], axis=1) / size
    used = users > 0
    with paper_style():
        from matplotlib.cm import ScalarMappable
        from matplotlib.collections import LineCollection
        from matplotlib.colors import LogNorm
        from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

        figure, axes, metres_per_point = frame(padded(graph.metres), title)
        middle = float(np.median(size)) / metres_per_point
        width = float(np.clip(middle / 9, 0.35, 1.8))
        lines = np.stack([start, stop], axis=1) + shift[:, None] * width * 0.75 * metres_per_point
        if used.any():
            norm = LogNorm(max(int(users[used].min()), 1), max(int(users.max()), 2))
            axes.add_collection(
                LineCollection(list(lines[used]), array=users[used], cmap=SHADES, norm=norm, linewidths=width, zorder=2)
            )
            wide, high = figure.get_size_inches()
            place = figure.add_axes((0.5, (FOOT - 0.34) / high, 0.46 - MARGIN / wide, 0.1 / high))
            bar = figure.colorbar(
                ScalarMappable(norm, SHADES), cax=place, orientation="horizontal", ticks=LogLocator(subs=(1, 2, 5)),
                format=FuncFormatter(lambda x, _: f"{x:,.0f}"),
            )  # fmt: skip
            bar.ax.xaxis.set_minor_formatter(NullFormatter())
            bar.set_label("rides that use the street", fontsize=7)
        axes.add_collection(
            LineCollection(list(lines[~used]), color=RED, linewidths=width, linestyles=(0, (1.5, 1)), zorder=3)
        )
        legend_line(figure, MARGIN, FOOT - 0.2, f"used: {int(used.sum()):,} of {counted(len(used), 'street')}", INK)
        if not used.all():
            legend_line(figure, MARGIN, FOOT - 0.38, f"no ride: {int((~used).sum()):,} (dashed)", RED)
        paths = save(figure, stem)
    columns = ("from", "to", "direction", "street", "metres", "rides", "moves", "first_ride")
    length, street = graph.length[source, direction], graph.street[source, direction]
    rows = [
        (graph.places[u], graph.places[v], graph.directions[a], street[i], round(float(length[i]), 1),
         int(users[i]), int(moves[i]), int(first[i]) if used[i] else None)
        for i, (u, v, a) in enumerate(graph.edges.tolist())
    ]  # fmt: skip
    return [*paths, write_csv(stem.with_name(f"{stem.name}.csv"), columns, rows)]


def draw_curve(
    number: np.ndarray, streets: np.ndarray, pairs: np.ndarray, sizes: tuple[int, int], stem: Path, *, title: str = ""
) -> list[Path]:
    """Draw `stem`.png, .svg and .csv: the share of the streets and of the pairs that the first rides cover.

    number: of rides, int [K]. streets, pairs: covered by so many rides, int [K]. sizes: all streets, and all ordered
    pairs of places.
    """
    with paper_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5.6, 2.5), layout="constrained", facecolor="white")
        kinds = (("streets", streets, sizes[0], INK), ("pairs", pairs, sizes[1], BLUE))
        for axis, (name, covered, size, color) in zip(figure.subplots(1, 2), kinds):
            axis.plot(number, covered / size, color=color, linewidth=1.2)
            axis.set_xscale("log")
            axis.set_xlim(1, max(float(number[-1]), 2.0))
            axis.set_ylim(0, min(1.03, 1.06 * float(covered[-1]) / size))
            axis.set_xlabel("training rides")
            axis.set_ylabel(f"share of the {name} covered")
            axis.set_title(f"{int(covered[-1]):,} of {counted(size, name[:-1])}", fontsize=7)
            axis.grid(True, color=GRAY, linewidth=0.3, alpha=0.4)
            if name == "pairs" and size <= number[-1]:
                axis.axvline(size, color=GRAY, linewidth=0.8, linestyle=(0, (4, 2)))
                axis.text(size, 0.02, "one ride per pair ", fontsize=6, color=GRAY, ha="right", va="bottom",
                          transform=axis.get_xaxis_transform())  # fmt: skip
        if title:
            figure.suptitle(literal(title), fontsize=9, color=INK)
        paths = save(figure, stem)
    rows = zip(number.tolist(), (number / sizes[1]).tolist(), streets.tolist(), pairs.tolist())
    columns = ("rides", "rides_per_pair", "streets", "pairs")
    return [*paths, write_csv(stem.with_name(f"{stem.name}.csv"), columns, rows)]
