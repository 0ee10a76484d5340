"""Calibration of arrival: left, the probability that a sampled ride arrives, by distance; right, a histogram of this
probability over prompts.

Reads `arrival_calibration.npz` of an evidence folder alone.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from worldbench.core.arrays import Array, Named
from worldbench.core.errors import InputError
from worldbench.figures import evidence as files
from worldbench.figures.style import BLUE, GRAY, INK, RED, literal, paper_style, save, write_csv

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PROBABILITY = Array("float", ("B+",), least=0, most=1)
NEEDED: Named = {
    "arrived": Array("int", ("N+",), least=0),
    "distance": Array("int", ("N+",), least=-1),
    "rides": Array("int", (), least=1, most=1 << 20),
}
"""Shape letters: N prompts, B bins of distances."""
CURVE: Named = {
    **dict.fromkeys(("by_from", "by_below"), Array("int", ("B+",), least=-1)),
    "by_prompts": Array("int", ("B+",), least=0),
    **dict.fromkeys(("by_arrives", "by_low", "by_high"), PROBABILITY),
}
SIDE = 0.3
"""Largest shift of a dot to the side, in hops, so that equal prompts are seen beside each other."""


def draw(evidence: Path, stem: Path, *, title: str = "") -> list[Path]:
    """Draws `stem`.png and .svg, with one row per prompt in `stem`.csv. Without distances, only the right panel. Raises
    InputError if the arrays are missing or wrong."""
    arrays = files.read(evidence, NEEDED, CURVE)
    arrived, distance, rides = arrays["arrived"], arrays["distance"], int(arrays["rides"].item())
    if (arrived > rides).any():
        raise InputError(f"{str(evidence)!r} counts more arrivals than rides; {files.made_by(evidence)}")
    curve = all(name in arrays for name in CURVE)
    with paper_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.4 if curve else 3.2, 2.7), layout="constrained", facecolor="white")
        axes = figure.subplots(1, 2 if curve else 1, squeeze=False)[0]
        if curve:
            _curve(axes[0], arrays, rides)
        _histogram(axes[-1], arrived, rides)
        figure.legend(loc="outside lower center", ncols=4)
        if title:
            figure.suptitle(literal(title), fontsize=9, color=INK)
        paths = save(figure, stem)
    rows = zip(distance.tolist(), arrived.tolist(), [rides] * len(arrived))
    return [*paths, write_csv(stem.with_name(f"{stem.name}.csv"), ("distance", "arrived", "rides"), rows)]


def _curve(axes: Axes, arrays: dict[str, np.ndarray], rides: int) -> None:
    arrived, distance = arrays["arrived"], arrays["distance"].astype(float)
    axes.axhline(1, color=INK, linewidth=0.9, linestyle=(0, (4, 2)), label="exact law")
    order = np.arange(len(arrived))
    aside = SIDE * (2 * ((order * (math.sqrt(5) - 1) / 2) % 1) - 1)
    axes.plot(
        distance + aside, arrived / rides, color=BLUE, marker="o", markersize=2, linewidth=0, alpha=0.45, label="prompt"
    )
    low, below = arrays["by_from"], arrays["by_below"]
    inside = [(distance >= a) & ((distance < b) | (b < 0)) for a, b in zip(low, below)]
    if not all(part.any() for part in inside):
        raise InputError("a bin of distances has no prompt; score the run again with worldbench eval")
    at = [float(distance[part].mean()) for part in inside]
    mean = arrays["by_arrives"]
    error = np.maximum([mean - arrays["by_low"], arrays["by_high"] - mean], 0)
    axes.errorbar(
        at, mean, yerr=error, color=RED, linewidth=1.1, marker="o", markersize=3.2, capsize=2,
        label="model, mean and 95% interval", zorder=4,
    )  # fmt: skip
    axes.set_ylim(-0.03, 1.06)
    axes.set_xlabel("distance from the prompt to the goal (moves)")
    axes.set_ylabel("probability that the ride arrives")


def _histogram(axes: Axes, arrived: np.ndarray, rides: int) -> None:
    k, mean = np.arange(rides + 1), float(arrived.mean() / rides)
    axes.bar(k / rides, np.bincount(arrived, minlength=rides + 1), width=0.8 / rides, color=BLUE, alpha=0.7)
    log_choose = np.array([math.lgamma(rides + 1) - math.lgamma(i + 1) - math.lgamma(rides - i + 1) for i in k])
    with np.errstate(divide="ignore", invalid="ignore"):
        log_p = np.where(k > 0, k * np.log(mean), 0) + np.where(k < rides, (rides - k) * np.log1p(-mean), 0)
    axes.plot(
        k / rides, len(arrived) * np.exp(log_choose + log_p), color=GRAY, linewidth=1, marker=".", markersize=3,
        label="if all prompts were alike",
    )  # fmt: skip
    axes.set_xlabel(f"share of the {rides} rides that arrive")
    axes.set_ylabel("prompts")
