"""The scores of linear probes of the state, layer by layer: of one model, and over the kept checkpoints of a run.

`draw` reads `state_curve.npz` of an evidence folder. `draw_trace` reads a trace.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from worldbench.core.arrays import Array, Named
from worldbench.figures import evidence as files
from worldbench.figures.style import BLUE, GRAY, INK, RED, literal, paper_style, save, write_csv
from worldbench.records.reading import read
from worldbench.records.runs import Point, Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METRIC = "state_curve"
SCORE = Array("float", ("L+",))
NEEDED: Named = {
    "by_layer": Array("text", ("L+",)),
    **dict.fromkeys(("by_score", "by_low", "by_high"), SCORE),
    "earliest": Array("int", (), least=-1),
    "threshold": Array("float", ()),
    "asked": Array("text", ()),
}
"""Shape letters: L layers."""
OPTIONAL: Named = {"by_untrained": SCORE}
LOWEST = -0.2
"""Smallest score in a picture. The CSV holds smaller ones."""


def draw(evidence: Path, stem: Path, *, title: str = "") -> list[Path]:
    """Draws `stem`.png and .svg, with the numbers in `stem`.csv. Raises InputError if the arrays are missing or
    wrong."""
    arrays = files.read(evidence, NEEDED, OPTIONAL)
    names, score = [str(name) for name in arrays["by_layer"]], arrays["by_score"]
    at, first, level = np.arange(len(names)), int(arrays["earliest"].item()), float(arrays["threshold"].item())
    with paper_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(1.6 + 0.5 * max(len(names), 3), 3.3), layout="constrained", facecolor="white")
        axes = figure.subplots()
        error = np.maximum([score - arrays["by_low"], arrays["by_high"] - score], 0)
        axes.errorbar(
            at, score, yerr=error, color=RED, linewidth=1.1, marker="o", markersize=3, capsize=2, label="model"
        )
        if "by_untrained" in arrays:
            axes.plot(
                at, arrays["by_untrained"], color=GRAY, linewidth=0.9, marker="s", markersize=2.4,
                label="untrained network",
            )  # fmt: skip
        axes.axhline(level, color=INK, linewidth=0.7, linestyle=(0, (4, 2)), label="threshold")
        if 0 <= first < len(names):
            axes.axvline(first, color=BLUE, linewidth=0.8, linestyle=(0, (1, 1.5)), label="earliest layer")
        axes.set_xticks(at, [literal(name) for name in names], rotation=35, ha="right")
        axes.set_ylim(min(0, max(LOWEST, float(score.min()))) - 0.03, 1.05)
        axes.set_ylabel(literal(str(arrays["asked"].item())))
        figure.legend(loc="outside lower center", ncols=2)
        if title:
            axes.set_title(literal(title), color=INK)
        paths = save(figure, stem)
    columns = [arrays["by_score"], arrays["by_low"], arrays["by_high"], arrays.get("by_untrained")]
    values = [[None] * len(names) if column is None else column.tolist() for column in columns]
    head = ("layer", "score", "low", "high", "untrained")
    return [*paths, write_csv(stem.with_name(f"{stem.name}.csv"), head, zip(names, *values))]


@dataclass(frozen=True)
class Steps:
    """The scores of a trace. steps: of its checkpoints. layers: their names. scores: float [steps, L]. level: the score
    that the best layer must reach. earliest: the step; None if the last checkpoint does not have the state."""

    steps: list[int]
    layers: list[str]
    scores: np.ndarray
    level: float
    earliest: int | None


def steps_of(record: Trace) -> Steps | None:
    """The scores by step, and the earliest step at which the state is linearly there: the first checkpoint from which
    on, at every later checkpoint too, the score of the best layer reaches the threshold of the last checkpoint (95% of
    its best layer, or the share of the option curve_share). There is none if the last checkpoint has no earliest layer.

    None if the trace lacks the metric, or a checkpoint lacks the scores of a layer.
    """
    points = [p for p in record.trace if METRIC in p.scores and _scores(p)]
    if not points or len({len(_scores(p)) for p in points}) > 1:
        return None
    scores, last = np.array([_scores(p) for p in points]), points[-1].scores[METRIC]
    level, first = last.value("threshold"), last.value("earliest_layer")
    if level is None or not math.isfinite(level):
        return None
    steps, earliest = [p.step for p in points], None
    later = np.minimum.accumulate(scores.max(axis=1)[::-1])[::-1] >= level
    if first is not None and later.any():
        earliest = steps[int(later.argmax())]
    names = [str(name) for name in last.series["by_layer"]["layer"]]
    return Steps(steps, names, scores, level, earliest)


def _scores(point: Point) -> list[float]:
    """The finite scores of the layers at a checkpoint; an empty list if one is missing."""
    metric = point.scores[METRIC]
    rows = metric.curve("by_layer", "score")
    whole = len(rows) == len(metric.series.get("by_layer", {}).get("layer", []))
    return [score for (score,) in rows] if whole and all(math.isfinite(score) for (score,) in rows) else []


def draw_trace(trace: Path, stem: Path, *, title: str = "") -> list[Path]:
    """Draws the scores of the layers by training step: `stem`.png and .svg, with the numbers in `stem`.csv. Nothing is
    drawn if the trace lacks them."""
    record = read(trace, Trace)
    found = steps_of(record)
    if found is None:
        return []
    untrained = record.scores[METRIC].value("best_untrained")
    with paper_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(4.6, 3.2), layout="constrained", facecolor="white")
        axes = figure.subplots()
        _draw_steps(axes, found, untrained)
        figure.legend(loc="outside right center")
        if title:
            axes.set_title(literal(title), color=INK)
        paths = save(figure, stem)
    rows = [
        (step, layer, score, step == found.earliest)
        for step, scores in zip(found.steps, found.scores.tolist())
        for layer, score in zip(found.layers, scores)
    ]
    head = ("step", "layer", "score", "earliest_step")
    return [*paths, write_csv(stem.with_name(f"{stem.name}.csv"), head, rows)]


def _draw_steps(axes: Axes, found: Steps, untrained: float | None) -> None:
    import matplotlib

    colors = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(found.layers)))
    at = [max(step, 0.5) for step in found.steps]  # step 0 on a logarithmic axis
    for name, line, color, marker in zip(found.layers, found.scores.T, colors, itertools.cycle("os^vD")):
        axes.plot(at, line, color=color, linewidth=1, marker=marker, markersize=2.6, label=literal(name))
    axes.axhline(found.level, color=INK, linewidth=0.7, linestyle=(0, (4, 2)), label="threshold")
    if untrained is not None and math.isfinite(untrained):
        axes.axhline(untrained, color=GRAY, linewidth=0.7, linestyle=(0, (5, 2, 1, 2)), label="untrained, best layer")
    if found.earliest is not None:
        name = f"earliest step: {found.earliest:,}"
        axes.axvline(max(found.earliest, 0.5), color=BLUE, linewidth=0.8, linestyle=(0, (1, 1.5)), label=name)
    else:
        said = "no earliest step: at the last checkpoint, no layer has the state"
        axes.annotate(said, (0.02, 0.02), xycoords="axes fraction", fontsize=6, color=INK)
    axes.set_xscale("log")
    axes.set_ylim(min(0, max(LOWEST, float(found.scores.min()))) - 0.03, 1.05)
    axes.set_xlabel("training step")
    axes.set_ylabel("score of the probe")
