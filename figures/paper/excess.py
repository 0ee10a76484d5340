"""The excess loss over the training steps: the mean over seeds with its 95% t interval, on logarithmic axes.

Reads the learning curves in results alone. Losses are in nats per predicted token.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from worldbench.core.statistics import mean_interval
from worldbench.figures.paper.groups import Group, Material, Series
from worldbench.figures.paper.plate import Look, Plate, legend_below, look_of, looks, plain_log_ticks, seeds_of
from worldbench.figures.style import literal, mark_infinite
from worldbench.records.runs import Result
from worldbench.records.scores import finite

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Point = tuple[int, float, float | None, float | None, int]
"""Step, mean, ends of the interval, number of seeds."""
KL = "excess_loss.kl"
LEAST = 1e-6
"""Smaller losses of references, such as that of the exact law, have no place on a logarithmic axis."""


def plates(material: Material) -> list[Plate | str]:
    """A picture for each world whose learning curves hold an excess loss."""
    known = looks(material.models)
    drawn = (_plate(group, known) for group in material.results)
    out: list[Plate | str] = [plate for plate in drawn if plate is not None]
    return out or ["excess: not drawn, because no result has a learning curve with the loss of the exact law"]


def curve_of(series: Series[Result]) -> list[Point]:
    """The points of a model, at the steps that all its seeds have with a value."""
    runs = [
        {line.step: line.excess for line in record.training.curve if line.excess is not None}
        for _, record in series.runs
        if record.training is not None
    ]
    if not runs or len(runs) < len(series.runs):
        return []
    out: list[Point] = []
    for step in sorted(set.intersection(*(set(run) for run in runs))):
        mean = mean_interval([run[step] for run in runs])
        low, high = mean.interval or (None, None)
        if not math.isnan(mean.value):
            out.append((step, mean.value, low, high, mean.n))
    return out


def _plate(group: Group[Result], known: dict[str, Look]) -> Plate | None:
    curves = {s.label: curve for s in group.series if not s.reference and (curve := curve_of(s))}
    if not curves:
        return None
    floors = {
        s.label: mean.value
        for s in group.series
        if s.reference and (mean := s.mean(KL)) is not None and (finite(mean.value) or 0) > LEAST
    }
    shown = [s for s in group.series if s.label in curves or s.label in floors]
    styles = {s.label: look_of(s, known) for s in shown}
    rows: list[tuple] = [(label, *point) for label, curve in curves.items() for point in curve]
    rows += [(label, None, value, None, None, None) for label, value in floors.items()]
    caption = (
        f"Held-out loss minus the loss of the exact law, over training steps ({group.world}; {seeds_of(shown)}). "
        "Horizontal lines: references."
    )
    return Plate(
        f"excess-{group.slug}", caption, ("model", "step", "mean", "low", "high", "seeds"), rows,
        lambda width: _draw(curves, floors, styles, width),
    )  # fmt: skip


def _draw(curves: dict[str, list[Point]], floors: dict[str, float], styles: dict[str, Look], width: float) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, 2.1 if width < 4 else 2.6), layout="constrained", facecolor="white")
    axis = figure.subplots()
    seen = [mean for curve in curves.values() for _, mean, *_ in curve if 0 < mean < math.inf]
    bottom = min(seen, default=1e-3) / 1.6
    for label, curve in curves.items():
        look = styles[label]
        points = [p for p in curve if 0 < p[1] < math.inf]
        at = [p[0] for p in points]
        low = [max(p[2] if p[2] is not None else p[1], bottom / 10) for p in points]
        high = [p[3] if p[3] is not None else p[1] for p in points]
        axis.fill_between(at, low, high, color=look.color, alpha=0.18, linewidth=0)
        axis.plot(
            at, [p[1] for p in points], color=look.color, linestyle=look.line, marker=look.marker, markersize=3,
            linewidth=1.1, label=literal(label),
        )  # fmt: skip
        mark_infinite(axis, [p[0] for p in curve if math.isinf(p[1])], look.color)
    for label, value in floors.items():
        look = styles[label]
        axis.axhline(value, color=look.color, linestyle=look.line, linewidth=0.9, label=literal(label), zorder=1)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_ylim(bottom=bottom)
    plain_log_ticks(axis.xaxis)
    plain_log_ticks(axis.yaxis)
    axis.set_xlabel("training step")
    axis.set_ylabel("excess loss (nats per token)")
    legend_below(figure, [axis], width)
    return figure
