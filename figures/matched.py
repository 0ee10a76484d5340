"""R^2 of the probed belief against excess loss: one line a run, through its checkpoints, beside the frontier of tables
of the last k tokens.

A model that lies on the frontier knows no more of the state than a memory of its last tokens would at that loss; only
above it is there anything to explain. A triangle at the right edge is an infinite loss. Reads trace files. Losses in
nats per predicted token.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldbench.core.errors import InputError
from worldbench.figures.style import BLUE, GRAY, INK, RED, literal, mark_infinite, paper_style, save, write_csv
from worldbench.records.lookup import tables
from worldbench.records.reading import read
from worldbench.records.runs import Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOSS, BELIEF = ("excess_loss", "kl"), ("belief_probe", "r2")
COLORS = (BLUE, RED, "#2a9d5c", "#e08a1e", "#7d5ba6", "#8c564b", "#17a2b8", "#c2185b")
CONTROLS = {
    "law_r2": ("the exact law as regressor", (0, (1, 1.5))),
    "r2_untrained": ("untrained network", (0, (5, 2, 1, 2))),
}
"""Scores of the controls of the probe, which do not depend on training: their names and line styles."""

LOWEST = -0.3
"""Smallest R^2 in the picture. A probe that is far off on a few prefixes may have a much smaller one, which the CSV
holds."""


def applies(record: Trace) -> bool:
    """Whether a trace has the scores that are drawn here."""
    return all(name in record.scores and score in record.scores[name].scores for name, score in (LOSS, BELIEF))


def draw_trace(trace: Path, out: Path, *, title: str = "") -> list[Path]:
    """`draw` for the trace of one run; nothing is drawn if the trace lacks one of the scores."""
    record = read(trace, Trace)
    return draw([(record.model.name, record)], out, title=title) if applies(record) else []


def draw(runs: Sequence[tuple[str, Trace]], out: Path, *, title: str = "") -> list[Path]:
    """Draw `out`.png and .svg, with all points in `out`.csv. Returns the files written.

    runs: (label, trace); runs with the same label (seeds) share a color. Raises InputError if a trace lacks one of the
    scores, or if the runs differ in world or evaluation (their frontiers would differ).
    """
    if not runs:
        raise InputError("there are no traces to draw")
    for label, record in runs:
        if not applies(record):
            raise InputError(
                f"the trace of {label} lacks {'.'.join(BELIEF)} or {'.'.join(LOSS)}; in a world with exact beliefs, "
                f"such as hmm, trace it with --eval.metrics {LOSS[0]} {BELIEF[0]} (other worlds: worldbench figures "
                "--paper FOLDER --only matched)"
            )
    first = runs[0][1]
    if any((r.world, r.identity.evaluation) != (first.world, first.identity.evaluation) for _, r in runs):
        raise InputError("the traces are not of one world and one evaluation; draw those that agree together")
    lines = [(label, record.seed, _points(record)) for label, record in runs]
    last = first.scores[BELIEF[0]]
    frontier = tables(last, first.world)
    values = {name: last.value(name) for name in CONTROLS}
    controls = {name: value for name, value in values.items() if value is not None}
    with paper_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(4.4, 3.6), layout="constrained", facecolor="white")
        axes = figure.subplots()
        _draw(axes, lines, frontier, controls)
        figure.legend(loc="outside lower center", ncols=2)
        if title:
            axes.set_title(literal(title), color=INK)
        paths = save(figure, out)
    rows = [("run", label, seed, step, None, x, y) for label, seed, points in lines for step, x, y in points]
    rows += [("lookup", "", None, None, k, x, y) for k, x, y in frontier] + [
        ("control", name, None, None, None, None, y) for name, y in controls.items()
    ]
    return [
        *paths,
        write_csv(out.with_name(f"{out.name}.csv"), ("kind", "label", "seed", "step", "k", "excess", "r2"), rows),
    ]


def _points(record: Trace) -> list[tuple[int, float, float]]:
    """(step, excess loss, R^2) of every checkpoint that has both."""
    found = [(p.step, *(p.scores[m].scores[s].value for m, s in (LOSS, BELIEF))) for p in record.trace]
    return [(step, x, y) for step, x, y in found if x is not None and y is not None]


def _draw(
    axes: Axes,
    lines: list[tuple[str, Any, list[tuple[int, float, float]]]],
    frontier: list[tuple[float, float, float]],
    controls: dict[str, float],
) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low_y = max(LOWEST, min([0.0, *(y for *_, points in lines for *_, y in points)]))
    for name, y in ((name, y) for name, y in controls.items() if low_y <= y < math.inf):
        axes.axhline(y, color=GRAY, linewidth=0.7, linestyle=CONTROLS[name][1], label=CONTROLS[name][0], zorder=1)
    losses = [x for _, _, points in lines for _, x, _ in points if 0 < x < math.inf]
    low, high = min(losses, default=0.01) / 1.5, max(losses, default=1.0) * 1.25
    shown = [(k, x, y) for k, x, y in frontier if 0 < x < math.inf and math.isfinite(y)]
    if shown:
        name = "table of the last k tokens"
        axes.plot(
            [x for _, x, _ in shown],
            [y for *_, y in shown],
            color=INK,
            linewidth=1.1,
            linestyle=(0, (4, 2)),
            zorder=2,
            label=name,
        )
        places: dict[tuple[float, float], list[str]] = {}  # long tables may have the same loss and belief
        for k, x, y in shown:
            places.setdefault((x, y), []).append(f"{k:g}")
        for (x, y), lengths in places.items():
            if low <= x <= high:
                axes.plot([x], [y], color=INK, marker="s", markersize=2.6, linewidth=0, zorder=3)
                wide = len(lengths) > 1  # to the left, away from the name of the next shorter table
                axes.annotate(
                    ", ".join(lengths), (x, y), xytext=(-4 if wide else 4, 2), ha="right" if wide else "left",
                    textcoords="offset points", fontsize=6, color=INK, zorder=6,
                )  # fmt: skip
    colors = dict(zip(dict.fromkeys(label for label, _, _ in lines), itertools.cycle(COLORS)))
    named: set[str] = set()
    for label, _seed, points in lines:
        drawn = [(x, y) for _, x, y in points if 0 < x < math.inf]
        name = literal(label) if label not in named else None
        if lost := [max(y, low_y) for _, x, y in points if x == math.inf]:
            mark_infinite(axes, lost, colors[label], side="right").set_label(None if drawn else name)
        mark_infinite(axes, [x for x, y in drawn if y == -math.inf], colors[label], side="down")
        if drawn or lost:
            named.add(label)
        if drawn:
            xs, ys = zip(*drawn)
            axes.plot(
                xs, ys, color=colors[label], linewidth=1, marker="o", markersize=2.4, alpha=0.85, zorder=4, label=name
            )
            axes.plot(xs[-1:], ys[-1:], color=colors[label], marker="o", markersize=4.5, linewidth=0, zorder=5)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1, 3)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(low, high)
    axes.set_ylim(low_y - 0.03, 1.06)
    axes.set_xlabel("excess loss (nats per token)")
    axes.set_ylabel("R² of the probed belief")
