"""Scores at matched loss: each score over the excess loss, a line for each run through its kept checkpoints.

Where two models have the same excess loss, the heights of their lines compare them at equal prediction. Reads traces
alone. Losses are in nats per predicted token.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from worldbench.figures.paper.groups import Group, Material, Series
from worldbench.figures.paper.plate import (
    Look,
    Plate,
    label_outside,
    legend_below,
    look_of,
    looks,
    plain_log_ticks,
    rows_for,
)
from worldbench.figures.style import literal
from worldbench.records.runs import Trace
from worldbench.records.scores import value_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOSS = "excess_loss.kl"
MOST_PANELS = 8
"""More scores than this make the panels too small to read."""

Line = tuple[str, int | None, list[tuple[int, float, float]]]
"""Label, seed, and (step, loss, score) at each checkpoint."""


def plates(material: Material) -> list[Plate | str]:
    """A picture for each world whose traces hold the excess loss and another metric."""
    known, out = looks(material.models), list["Plate | str"]()
    for group in material.traces:
        lines = {score: mine for score in _scores(group) if (mine := _lines(group, score))}
        kept = dict(list(lines.items())[:MOST_PANELS])
        if not kept:
            continue
        out.append(_plate(group, kept, known))
        if left := list(lines)[MOST_PANELS:]:
            out.append(f"matched: {group.words}: {MOST_PANELS} panels, without {', '.join(left)}")
    if out:
        return out
    what = "no trace has excess_loss and another metric" if material.traces else "there is no trace"
    return [f"matched: not drawn, because {what}; worldbench trace RUN.. makes traces"]


def _scores(group: Group[Trace]) -> list[str]:
    """The primary score of every metric other than the loss, in the order of the records."""
    names = {
        f"{name}.{metric.primary}": None
        for series in group.series
        for name, metric in series.first.scores.items()
        if name != LOSS.partition(".")[0]
    }
    return list(names)


def _lines(group: Group[Trace], score: str) -> list[Line]:
    out = []
    for series in group.series:
        for _, record in series.runs:
            points = []
            for point in record.trace:
                loss, value = value_of(point.scores, LOSS), value_of(point.scores, score)
                if loss is not None and value is not None and 0 < loss < math.inf and math.isfinite(value):
                    points.append((point.step, loss, value))
            if points:
                out.append((series.label, record.seed, points))
    return out


def _plate(group: Group[Trace], lines: dict[str, list[Line]], known: dict[str, Look]) -> Plate:
    shown: list[Series[Trace]] = [
        s for s in group.series if any(label == s.label for m in lines.values() for label, *_ in m)
    ]
    rows = [
        (score, label, seed, *point)
        for score, mine in lines.items()
        for label, seed, points in mine
        for point in points
    ]
    caption = (
        f"Scores over the excess loss, a line for each training seed through its checkpoints ({group.world}). Training "
        "goes from right to left; the large mark is the last checkpoint. At one loss, the models predict equally well."
    )
    styles = {s.label: look_of(s, known) for s in shown}
    return Plate(
        f"matched-{group.slug}", caption, ("score", "model", "seed", "step", "excess_loss", "value"), rows,
        lambda width: _draw(lines, styles, width),
    )  # fmt: skip


def _draw(lines: dict[str, list[Line]], styles: dict[str, Look], width: float) -> Figure:
    from matplotlib.figure import Figure

    rows, columns = rows_for(width, len(lines), 1.55)
    figure = Figure(figsize=(width, 0.2 + 1.55 * rows), layout="constrained", facecolor="white")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True)
    for axis, (score, mine) in zip(axes.flat, lines.items()):
        for label, _, points in mine:
            look, (_, x, y) = styles[label], zip(*points)
            axis.plot(
                x, y, color=look.color, linestyle=look.line, linewidth=0.9, alpha=0.8, marker=look.marker,
                markersize=1.8, label=literal(label),
            )  # fmt: skip
            axis.plot(x[-1:], y[-1:], color=look.color, marker=look.marker, markersize=4.2, linewidth=0)
        metric, _, part = score.partition(".")
        axis.set_title(f"{metric}:\n{part}".replace("_", " "), fontsize=7.5)
        axis.set_xscale("log")
        plain_log_ticks(axis.xaxis)
    label_outside(axes, len(lines), "excess loss (nats)", "")
    legend_below(figure, axes.flat[: len(lines)], width)
    return figure
