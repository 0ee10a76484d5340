"""The share of rides that arrive although a referee replaces moves, by the probability of a forced move: a panel for
each kind of forced move, with t intervals over seeds.

Reads the scores of the metric `detours` alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from worldbench.figures.paper.groups import Group, Material
from worldbench.figures.paper.plate import Look, Plate, label_outside, legend_below, look_of, looks, rows_for, seeds_of
from worldbench.figures.style import literal
from worldbench.records.runs import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRIC = "detours"
KINDS = {"": "random move", "adversarial": "least likely move", "second": "second most likely move"}
"""Kind of forced moves, as names of scores have it -> words."""

Curve = list[tuple[float, float, float | None, float | None, int]]
"""Points: probability, mean, ends of the interval, number of seeds."""


def plates(material: Material) -> list[Plate | str]:
    """A picture for each world with detours."""
    known = looks(material.models)
    drawn = (_plate(group, known) for group in material.results if group.having(METRIC))
    out: list[Plate | str] = [plate for plate in drawn if plate is not None]
    return out or [f"detours: not drawn, because no record has the metric {METRIC}"]


def _plate(group: Group[Result], known: dict[str, Look]) -> Plate | None:
    having = group.having(METRIC)
    curves: dict[tuple[str, str], Curve] = {}
    for series in having:
        for score in series.first.scores[METRIC].scores:
            found = re.fullmatch(r"arrives_(?:([a-z]+)_)?p([0-9.e-]+)", score)
            mean = series.mean(f"{METRIC}.{score}") if found else None
            if found and mean is not None:
                low, high = mean.interval or (None, None)
                point = (float(found[2]), mean.value, low, high, mean.n)
                curves.setdefault((found[1] or "", series.label), []).append(point)
    kinds = [kind for kind in KINDS if any(k == kind for k, _ in curves)]
    if not kinds:
        return None
    rows = [(kind or "random", label, *point) for (kind, label), curve in curves.items() for point in sorted(curve)]
    caption = (
        f"Share of greedy rides that arrive although each move is replaced, with a given probability, by another legal "
        f"move ({group.world}; {seeds_of(having)})."
    )
    styles = {s.label: look_of(s, known) for s in having}
    return Plate(
        f"detours-{group.slug}", caption, ("forced", "model", "probability", "mean", "low", "high", "seeds"), rows,
        lambda width: _draw(kinds, curves, styles, width),
    )  # fmt: skip


def _draw(kinds: list[str], curves: dict[tuple[str, str], Curve], styles: dict[str, Look], width: float) -> Figure:
    from matplotlib.figure import Figure

    rows, columns = rows_for(width, len(kinds), 2.0)
    figure = Figure(figsize=(width, 0.2 + 1.6 * rows), layout="constrained", facecolor="white")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True, sharex=True)
    for axis, kind in zip(axes.flat, kinds):
        for label, look in styles.items():
            curve = sorted(curves.get((kind, label), []))
            if not curve:
                continue
            at, mean = [p[0] for p in curve], [p[1] for p in curve]
            low, high = ([p[i] if p[i] is not None else p[1] for p in curve] for i in (2, 3))
            axis.fill_between(at, low, high, color=look.color, alpha=0.18, linewidth=0)  # type: ignore[arg-type]
            axis.plot(
                at, mean, color=look.color, linestyle=look.line, marker=look.marker, markersize=3.2, linewidth=1.1,
                label=literal(label),
            )  # fmt: skip
        axis.set_title(KINDS[kind], fontsize=8)
        axis.set_ylim(-0.03, 1.03)
    label_outside(axes, len(kinds), "probability of a forced move", "rides that arrive")
    legend_below(figure, axes.flat[: len(kinds)], width)
    return figure
