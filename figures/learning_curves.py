"""Training and held-out loss over steps, beside the loss of the exact law (Bayes): no model can go below that line, and the gap to it is the excess loss.

Reads the records of a run (`metrics.jsonl`), nothing else. Losses in nats per predicted token.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from worldbench.core.errors import InputError
from worldbench.figures.style import BLUE, GREY, INK, RED, literal, paper_style, save, write_csv

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAIN = "next_token"
"""The training term that is drawn; the CSV holds all of them."""
BINS_PER_DECADE = 12


def draw(records: Path | Sequence[dict[str, Any]], out: Path, *, title: str = "", bayes: float | None = None) -> list[Path]:
    """Draw the curves to `out`.png and .svg, with all losses in `out`.csv. Returns the files written.

    records: a metrics.jsonl file, or its records: {"kind": "train", "step", "loss": {term: value}} and {"kind": "eval", "step", "loss", "bayes"?, "excess"?}.
    bayes: the exact law's loss, where the records do not hold it. Without one, there is no line and no excess panel.
    Errors: InputError for a file that cannot be read or holds no losses.
    """
    rows = _read(records) if isinstance(records, Path) else list(records)
    train = [(r["step"], r["loss"][MAIN]) for r in rows if r["kind"] == "train" and r["loss"].get(MAIN) is not None]
    held_out = [(r["step"], r["loss"]) for r in rows if r["kind"] == "eval" and r["loss"] is not None]
    if not train and not held_out:
        raise InputError(f"there are no losses to draw in {str(records) if isinstance(records, Path) else 'these records'!r}")
    exact = next((r["bayes"] for r in reversed(rows) if r["kind"] == "eval" and r.get("bayes") is not None), bayes)
    excess = [(r["step"], _excess(r, exact)) for r in rows if r["kind"] == "eval"]
    excess = [(step, value) for step, value in excess if value is not None and value > 0]
    with paper_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.4 if excess else 3.6, 2.5), layout="constrained", facecolor="white")
        axes = figure.subplots(1, 2 if excess else 1, squeeze=False, width_ratios=[1.35, 1] if excess else None)[0]
        _losses(axes[0], train, held_out, exact)
        if excess:
            _excesses(axes[1], excess)
        if title:
            figure.suptitle(literal(title), fontsize=9, color=INK)
        paths = save(figure, out)
    return [*paths, _table(rows, out.with_name(f"{out.name}.csv"))]


def _read(path: Path) -> list[dict[str, Any]]:
    """The records of a file; a last line that a killed process left unfinished is not one."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r} ({error.strerror}); it is the file metrics.jsonl of a run") from error
    rows: list[dict[str, Any]] = []
    for line in lines:
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def _excess(record: dict[str, Any], exact: float | None) -> float | None:
    if record.get("excess") is not None:
        return record["excess"]
    return record["loss"] - exact if exact is not None and record["loss"] is not None else None


def _losses(axes: Axes, train: list[tuple[int, float]], held_out: list[tuple[int, float]], exact: float | None) -> None:
    if train:
        step, loss = np.array(train, float).T
        axes.plot(step, loss, color=BLUE, linewidth=0.5, alpha=0.35)
        axes.plot(*_smoothed(step, loss), color=BLUE, linewidth=1.1, label="training")
    if held_out:
        axes.plot(*np.array(held_out, float).T, color=RED, linewidth=1.0, marker="o", markersize=2.8, label="held out")
    if exact is not None:
        axes.axhline(exact, color=INK, linewidth=0.8, linestyle=(0, (4, 2)), label=f"exact law, {exact:.3f}")
    axes.set_xscale("log")
    axes.set_xlabel("training step")
    axes.set_ylabel("loss (nats per token)")
    axes.legend(loc="upper right")


def _excesses(axes: Axes, excess: list[tuple[int, float]]) -> None:
    axes.plot(*np.array(excess, float).T, color=RED, linewidth=1.0, marker="o", markersize=2.8)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.grid(True, which="major", color=GREY, linewidth=0.3, alpha=0.5)
    axes.set_xlabel("training step")
    axes.set_ylabel("excess loss (nats per token)")


def _smoothed(step: np.ndarray, loss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means over bins of equal width in log steps, at the mean log step of each."""
    bins = np.floor(np.log10(np.maximum(step, 1)) * BINS_PER_DECADE).astype(int)
    _, which = np.unique(bins, return_inverse=True)
    count = np.bincount(which)
    return np.exp(np.bincount(which, np.log(np.maximum(step, 1))) / count), np.bincount(which, loss) / count


def _table(rows: list[dict[str, Any]], path: Path) -> Path:
    """One line per record; a column per training term, and the held-out loss, Bayes loss and excess."""
    terms = list(dict.fromkeys(term for r in rows if r["kind"] == "train" for term in r["loss"]))
    lines = []
    for r in rows:
        if r["kind"] == "train":
            lines.append((r["step"], "train", *(r["loss"].get(t) for t in terms), None, None, None))
        elif r["kind"] == "eval":
            lines.append((r["step"], "eval", *(None for _ in terms), r["loss"], r.get("bayes"), r.get("excess")))
    return write_csv(path, ("step", "kind", *(f"train_{t}" for t in terms), "held_out", "bayes", "excess"), lines)
