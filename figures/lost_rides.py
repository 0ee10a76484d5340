"""Lost rides, split into tracking and planning: left by distance; in the middle the doubt about the place in the last
choices; right what probes read before the last choice.

Reads `planning_tracking.npz` of an evidence folder alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from worldbench.core.arrays import Array, Named
from worldbench.core.states import ARRIVED, ILLEGAL
from worldbench.figures import evidence as files
from worldbench.figures.style import BLUE, GRAY, INK, RED, literal, paper_style, save, write_csv

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHARE = Array("float", ("N+",), least=0, most=1)
NEEDED: Named = {
    "outcome": Array("int", ("N+",), least=0, most=3),
    "distance": Array("int", ("N+",), least=-1),
    "doubt": SHARE,
    "tracking": SHARE,
    "legal_arrives": Array("bool", ("N+",)),
}
"""Shape letters: N rides."""
OPTIONAL: Named = dict.fromkeys(("place_read", "goal_read"), Array("bool", ("N+",)))
MOST_BARS = 16
"""With more distances than this, neighbors share a bar."""


def draw(evidence: Path, stem: Path, *, title: str = "") -> list[Path]:
    """Draws `stem`.png and .svg, with one row per ride in `stem`.csv. Raises InputError if the arrays are missing or
    wrong."""
    arrays = files.read(evidence, NEEDED, OPTIONAL)
    lost = arrays["outcome"] != ARRIVED
    read = all(name in arrays for name in OPTIONAL) and lost.any()
    with paper_style():
        from matplotlib.figure import Figure

        ratios = [1.4, 1, 0.8] if read else [1.4, 1]
        figure = Figure(figsize=(2.6 * sum(ratios), 2.8), layout="constrained", facecolor="white")
        axes = figure.subplots(1, len(ratios), width_ratios=ratios)
        _bars(axes[0], arrays, lost)
        _doubt(axes[1], arrays, lost)
        if read:
            _cross(axes[2], arrays["place_read"][lost], arrays["goal_read"][lost])
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
        if title:
            figure.suptitle(literal(title), fontsize=9, color=INK)
        paths = save(figure, stem)
    names = [*NEEDED, *(name for name in OPTIONAL if name in arrays)]
    rows = zip(*(arrays[name].tolist() for name in names))
    return [*paths, write_csv(stem.with_name(f"{stem.name}.csv"), names, rows)]


def _bars(axes: Axes, arrays: dict[str, np.ndarray], lost: np.ndarray) -> None:
    """Shares of the rides, by distance, and all rides in the last bar."""
    distance, tracking = arrays["distance"], np.where(lost, arrays["tracking"], 0.0)
    planning, legal = np.where(lost, 1 - tracking, 0.0), arrays["legal_arrives"]
    step = 1 + (int(distance.max()) - max(int(distance.min()), 0)) // MOST_BARS
    bins = np.unique(distance // step) if (distance >= 0).all() else np.empty(0, int)
    parts = [distance // step == b for b in bins] + [np.ones(len(lost), bool)]
    names = [f"{b * step}" if step == 1 else f"{b * step}-{b * step + step - 1}" for b in bins] + ["all"]
    at = np.arange(len(parts)) + (np.arange(len(parts)) == len(parts) - 1) * 0.5
    values = np.array([[x[part].mean() for x in (planning, tracking, legal)] for part in parts])
    axes.bar(at, values[:, 0], color=BLUE, label="lost by planning")
    axes.bar(at, values[:, 1], bottom=values[:, 0], color=RED, label="lost by tracking")
    axes.plot(
        at, 1 - values[:, 2], color=INK, marker="_", markersize=9, linewidth=0,
        label="lost when illegal moves are barred",
    )  # fmt: skip
    if not lost.any():
        axes.text(0.5, 0.5, "no ride is lost", transform=axes.transAxes, ha="center", color=INK)
    axes.set_xticks(at, names, rotation=90 if step > 1 else 0)
    axes.set_ylim(0, 1.03)
    axes.set_xlabel("distance from the prompt to the goal (moves)")
    axes.set_ylabel("share of rides")


def _doubt(axes: Axes, arrays: dict[str, np.ndarray], lost: np.ndarray) -> None:
    bins = np.linspace(0, 1, 21).tolist()
    shown = {"arrive": (~lost, GRAY), "lost by legal moves": (lost & (arrays["outcome"] != ILLEGAL), BLUE)}
    for name, (rows, color) in shown.items():
        if rows.any():
            weights = np.full(int(rows.sum()), 1 / rows.sum())
            kind = "stepfilled" if color == GRAY else "step"
            axes.hist(
                arrays["doubt"][rows], bins, weights=weights, histtype=kind, color=color, linewidth=1.1, label=name,
                alpha=0.5 if color == GRAY else 1,
            )  # fmt: skip
    axes.set_ylim(0, 1.15)
    axes.set_xlabel("doubt about the place")
    axes.set_ylabel("share of these rides")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper center")


def _cross(axes: Axes, place: np.ndarray, goal: np.ndarray) -> None:
    """Of the lost rides: place read right or wrong, by goal read right or wrong."""
    share = np.array([[((place == p) & (goal == g)).mean() for g in (True, False)] for p in (True, False)])
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (i, j), value in np.ndenumerate(share):
        axes.text(j, i, f"{value:.2f}", ha="center", va="center", color="white" if value > 0.6 else INK)
    axes.set_xticks([0, 1], ["right", "wrong"])
    axes.set_yticks([0, 1], ["right", "wrong"])
    axes.set_xlabel("goal, as probed")
    axes.set_ylabel("place, as probed")
    axes.set_title("lost rides")
