"""Scores against the density of the training data, in documents per pair of places, with t intervals over seeds.

Reads results alone, as the figure `density` of `worldbench figures --density` does.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from worldbench.core.errors import InputError
from worldbench.core.files import identity_hash
from worldbench.figures import density
from worldbench.figures.density import SCORES, Point
from worldbench.figures.paper.groups import Material, place_of, slug_of
from worldbench.figures.paper.plate import Look, Plate, label_outside, legend_below, looks, rows_for
from worldbench.figures.style import literal
from worldbench.records.runs import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curves = dict[str, list[Point]]
"""Label -> its points, by density."""


def plates(material: Material) -> list[Plate | str]:
    """A picture for each world and preset whose models were trained at two densities or more."""
    together: dict[str, list[Result]] = defaultdict(list)
    for group in material.results:
        for series in group.series:
            for _, record in series.runs:
                key = identity_hash([record.world, record.preset, record.identity.evaluation])
                if not series.reference:
                    together[key].append(record)
    out: list[Plate | str] = []
    for records in together.values():
        try:
            points = density.points_of(records)
        except InputError:  # this world counts no documents per pair of places
            continue
        if len({point.density for point in points}) > 1:
            words = place_of(records[0])
            again = sum(place_of(mine[0]) == words for mine in together.values()) > 1
            out += _plate(points, slug_of(f"{words} {records[0].identity.evaluation[:6]}" if again else words))
    return out or ["density: not drawn, because no model was trained with two or more numbers of --data.documents"]


def _plate(points: list[Point], slug: str) -> list[Plate | str]:
    curves: Curves = defaultdict(list)
    for point in sorted(points, key=lambda p: p.density):
        curves[point.label].append(point)
    panels = [score for score in SCORES if any(p.mean(score) is not None for p in points)]
    if not panels:
        return [f"density: {slug}: not drawn, because no record has a score of {', '.join(SCORES)}"]
    styles = looks({label: mine[0].results[0].model.name for label, mine in curves.items()})
    rows = [
        (score, p.label, p.density, p.fresh, mean.value, *(mean.interval or (None, None)), mean.n)
        for score in panels
        for p in points
        if (mean := p.mean(score)) is not None
    ]
    first = points[0].results[0]
    caption = (
        "Scores against the number of training documents for each pair of places "
        f"({first.world_name}, preset {first.preset}; mean and 95% t interval over seeds). Hollow: every document of "
        "training was new."
    )
    columns = ("score", "model", "density", "fresh", "mean", "low", "high", "seeds")
    return [Plate(f"density-{slug}", caption, columns, rows, lambda width: _draw(panels, curves, styles, width))]


def _draw(panels: list[str], curves: Curves, styles: dict[str, Look], width: float) -> Figure:
    from matplotlib.figure import Figure

    rows, columns = rows_for(width, len(panels), 1.55)
    figure = Figure(figsize=(width, 0.2 + 1.6 * rows), layout="constrained", facecolor="white")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True)
    for axis, score in zip(axes.flat, panels):
        for label, points in curves.items():
            _curve(axis, score, points, styles[label])
        axis.set_xscale("log")
        axis.set_title(SCORES[score].replace(" (", "\n("), fontsize=7.5)
    label_outside(axes, len(panels), "documents per pair", "")
    legend_below(figure, axes.flat[: len(panels)], width)
    return figure


def _curve(axis: Axes, score: str, points: list[Point], look: Look) -> None:
    found = [(p, mean) for p in points if (mean := p.mean(score)) is not None and abs(mean.value) < float("inf")]
    for k, (p, mean) in enumerate(found):
        low, high = mean.interval or (mean.value, mean.value)
        axis.errorbar(
            p.density, mean.value, [[mean.value - low], [high - mean.value]], color=look.color, marker=look.marker,
            markersize=3.6, markerfacecolor="white" if p.fresh else look.color, linewidth=0.9, capsize=1.8,
            label=literal(p.label) if not k else None,
        )  # fmt: skip
    axis.plot([p.density for p, _ in found], [m.value for _, m in found], color=look.color, linestyle=look.line, lw=1)
