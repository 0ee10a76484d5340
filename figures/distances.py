"""A map in numbers: how many streets leave and enter a place, how long streets are, and how far apart places are.

Shape letters: N places, E streets, K pairs, M rides.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from worldbench.core.graph import Graph
from worldbench.figures.style import BLUE, GRAY, INK, RED, literal, paper_style, save, write_csv


def draw_degrees(graph: Graph, stem: Path, *, title: str = "") -> list[Path]:
    """Draw `stem`.png, .svg and .csv: places by the number of streets that leave and enter them, and streets by their
    length. The CSV file has the degrees; the lengths of streets are in the file of the coverage."""
    out = np.bincount(graph.edges[:, 0], minlength=graph.n_places)
    into = np.bincount(graph.edges[:, 1], minlength=graph.n_places)
    most = int(max(out.max(initial=0), into.max(initial=0)))
    counts = [np.bincount(x, minlength=most + 1) for x in (out, into)]
    metres = graph.length[graph.successor >= 0]
    metres = metres[np.isfinite(metres)]
    with paper_style():
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        figure = Figure(figsize=(5.6, 2.5), layout="constrained", facecolor="white")
        left, right = figure.subplots(1, 2)
        degree = np.arange(most + 1)
        for shift, name, count, color in ((-0.2, "leave it", counts[0], INK), (0.2, "enter it", counts[1], BLUE)):
            left.bar(degree + shift, count, 0.36, color=color, label=name)
        left.xaxis.set_major_locator(MaxNLocator(integer=True))
        left.yaxis.set_major_locator(MaxNLocator(integer=True))
        left.set_xlabel("streets of a place that")
        left.set_ylabel("places")
        left.legend(loc="upper right")
        if len(metres):
            right.hist(metres, bins=_bins(metres), color=GRAY)
            right.axvline(float(np.median(metres)), color=RED, linewidth=0.9)
            right.text(
                0.98, 0.95, f"median {np.median(metres):,.0f} m", color=RED, fontsize=7, ha="right", va="top",
                transform=right.transAxes,
            )  # fmt: skip
        right.set_xlabel("length of a street (meters)")
        right.set_ylabel("streets")
        if title:
            figure.suptitle(literal(title), fontsize=9, color=INK)
        paths = save(figure, stem)
    rows = zip(degree.tolist(), *(c.tolist() for c in counts))
    return [*paths, write_csv(stem.with_name(f"{stem.name}.csv"), ("streets", "leaving", "entering"), rows)]


def draw_distances(
    hops: np.ndarray, moves: np.ndarray, shortest: np.ndarray, stem: Path, *, title: str = ""
) -> list[Path]:
    """Draw `stem`.png, .svg and .csv: the moves of a shortest route, over all pairs of places and over the rides, and
    the moves that the rides make.

    hops: of pairs, int [K]. moves, shortest: of rides, and of shortest routes between their ends, int [M].
    """
    most = int(max(x.max(initial=0) for x in (hops, moves, shortest)))
    counts = {
        "all pairs, shortest": (np.bincount(hops, minlength=most + 1), GRAY),
        "rides, shortest": (np.bincount(shortest, minlength=most + 1), BLUE),
        "rides, as driven": (np.bincount(moves, minlength=most + 1), RED),
    }
    with paper_style():
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        figure = Figure(figsize=(3.8, 2.8), layout="constrained", facecolor="white")
        axis = figure.subplots()
        edges = np.arange(most + 2) - 0.5
        for i, (name, (count, color)) in enumerate(counts.items()):
            share = count / max(int(count.sum()), 1)
            axis.stairs(share, edges, color=color, fill=not i, alpha=1 if i else 0.5, linewidth=1.1, label=name)
        axis.set_xlim(0, most + 1)
        axis.set_ylim(bottom=0)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_xlabel("moves")
        axis.set_ylabel("share")
        figure.legend(loc="outside lower center", ncols=3)
        if title:
            axis.set_title(literal(title), color=INK)
        paths = save(figure, stem)
    rows = zip(range(most + 1), *(count.tolist() for count, _ in counts.values()))
    columns = ("moves", "pairs_shortest", "rides_shortest", "rides_driven")
    return [*paths, write_csv(stem.with_name(f"{stem.name}.csv"), columns, rows)]


def _bins(values: np.ndarray) -> int | np.ndarray:
    """Bins of a histogram that show the values below their 99th percentile, and 40 at most."""
    high = float(np.quantile(values, 0.99))
    return np.linspace(0, high * 1.05, 40) if high > 0 else 10
