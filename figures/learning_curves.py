"""Training and held-out loss over training steps, beside the loss of the exact law (Bayes). No model can go below that
line, and the distance to it is the excess loss. A triangle at the upper edge is an infinite held-out loss.

Reads the lines of `metrics.jsonl` alone. Losses are in nats per predicted token.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from worldbench.core.errors import InputError
from worldbench.figures.style import BLUE, GRAY, INK, RED, literal, mark_infinite, paper_style, save, write_csv
from worldbench.records.lines import EvalLine, Line, TrainLine, read_lines
from worldbench.records.scores import finite

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAIN = "next_token"
"""The term of the training loss that is drawn; the CSV holds all terms."""
BINS_PER_DECADE = 12
"""Bins of the training loss for each factor of ten in steps."""


def draw(records: Path | Sequence[Line], out: Path, *, title: str = "", bayes: float | None = None) -> list[Path]:
    """Draw the curves to `out`.png and .svg, with all losses in `out`.csv. Returns the files written.

    records: a metrics.jsonl file, or its lines. bayes: the loss of the exact law, if the lines do not hold it. Without
    this loss the line and the panel of the excess are left out.
    Errors: InputError for a file that cannot be read or holds no losses.
    """
    rows = read_lines(records) if isinstance(records, Path) else list(records)
    trained = [r for r in rows if isinstance(r, TrainLine)]
    tested = [r for r in rows if isinstance(r, EvalLine)]
    train = [(r.step, loss) for r in trained if (loss := finite(r.loss.get(MAIN))) is not None]
    held_out = [(r.step, loss) for r in tested if (loss := finite(r.loss)) is not None]
    infinite = [r.step for r in tested if r.loss is not None and math.isinf(r.loss)]
    if not train and not held_out and not infinite:
        where = str(records) if isinstance(records, Path) else "these records"
        raise InputError(f"there are no losses to draw in {where!r}")
    exact = next((r.bayes for r in reversed(tested) if finite(r.bayes) is not None), bayes)
    excess = [(r.step, value) for r in tested if (value := finite(_excess(r, exact))) is not None and value > 0]
    with paper_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.4 if excess else 3.6, 2.5), layout="constrained", facecolor="white")
        axes = figure.subplots(1, 2 if excess else 1, squeeze=False, width_ratios=[1.35, 1] if excess else None)[0]
        _losses(axes[0], train, held_out, exact, infinite)
        if excess:
            _excesses(axes[1], excess)
            mark_infinite(axes[1], infinite, RED)
        if title:
            figure.suptitle(literal(title), fontsize=9, color=INK)
        paths = save(figure, out)
    return [*paths, _table(rows, out.with_name(f"{out.name}.csv"))]


def _excess(record: EvalLine, exact: float | None) -> float | None:
    if record.excess is not None:
        return record.excess
    return record.loss - exact if exact is not None and record.loss is not None else None


def _losses(
    axes: Axes, train: list[tuple[int, float]], held_out: list[tuple[int, float]], exact: float | None,
    infinite: list[int],
) -> None:  # fmt: skip
    if train:
        step, loss = np.array(train, float).T
        axes.plot(step, loss, color=BLUE, linewidth=0.5, alpha=0.35)
        axes.plot(*_smoothed(step, loss), color=BLUE, linewidth=1.1, label="training")
    if held_out:
        axes.plot(*np.array(held_out, float).T, color=RED, linewidth=1.0, marker="o", markersize=2.8, label="held out")
    if exact is not None:
        axes.axhline(exact, color=INK, linewidth=0.8, linestyle=(0, (4, 2)), label=f"exact law, {exact:.3f}")
    if infinite:
        mark_infinite(axes, infinite, RED).set_label("held out, infinite")
    axes.set_xscale("log")
    axes.set_xlabel("training step")
    axes.set_ylabel("loss (nats per token)")
    axes.legend(loc="upper right")


def _excesses(axes: Axes, excess: list[tuple[int, float]]) -> None:
    axes.plot(*np.array(excess, float).T, color=RED, linewidth=1.0, marker="o", markersize=2.8)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.grid(True, which="major", color=GRAY, linewidth=0.3, alpha=0.5)
    axes.set_xlabel("training step")
    axes.set_ylabel("excess loss (nats per token)")


def _smoothed(step: np.ndarray, loss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means over bins of equal width in the log of the step, at the mean log step of each bin."""
    bins = np.floor(np.log10(np.maximum(step, 1)) * BINS_PER_DECADE).astype(int)
    _, which = np.unique(bins, return_inverse=True)
    count = np.bincount(which)
    return np.exp(np.bincount(which, np.log(np.maximum(step, 1))) / count), np.bincount(which, loss) / count


def _table(rows: list[Line], path: Path) -> Path:
    """One line per record; a column per training term, and the held-out loss, Bayes loss and excess."""
    terms = list(dict.fromkeys(term for r in rows if isinstance(r, TrainLine) for term in r.loss))
    lines = []
    for r in rows:
        if isinstance(r, TrainLine):
            lines.append((r.step, "train", *(r.loss.get(t) for t in terms), None, None, None))
        else:
            lines.append((r.step, "eval", *(None for _ in terms), r.loss, r.bayes, r.excess))
    return write_csv(path, ("step", "kind", *(f"train_{t}" for t in terms), "held_out", "bayes", "excess"), lines)
