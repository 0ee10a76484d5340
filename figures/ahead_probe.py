"""The share of tokens that linear probes of the hidden state predict, by distance, beside two controls.

Reads `ahead_probe.npz` of an evidence folder alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from worldbench.core.arrays import Array, Named
from worldbench.figures import evidence as files
from worldbench.figures.style import BLUE, GRAY, INK, RED, literal, paper_style, save, write_csv

SHARE = Array("float", ("K+",))
NEEDED: Named = {
    "by_distance": Array("int", ("K+",)),
    **dict.fromkeys(("by_accuracy", "by_low", "by_high", "by_constant"), SHARE),
}
OPTIONAL: Named = {"by_untrained": SHARE}


def draw(evidence: Path, stem: Path, *, title: str = "") -> list[Path]:
    """Draw `stem`.png and .svg, with the numbers in `stem`.csv. Errors: InputError without the arrays."""
    arrays = files.read(evidence, NEEDED, OPTIONAL)
    distance, accuracy, low, high, constant = (arrays[name] for name in NEEDED)
    untrained = arrays.get("by_untrained", np.full(len(distance), np.nan))
    with paper_style():
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        figure = Figure(figsize=(3.4, 2.4), layout="constrained", facecolor="white")
        axis = figure.subplots()
        axis.fill_between(distance, low, high, color=RED, alpha=0.15, linewidth=0)
        axis.plot(distance, accuracy, color=RED, linewidth=1.0, marker="o", markersize=2.4, label="hidden state")
        if np.isfinite(untrained).any():
            axis.plot(distance, untrained, color=BLUE, linewidth=0.9, label="untrained network")
        axis.plot(distance, constant, color=INK, linewidth=0.9, linestyle=(0, (4, 2)), label="most frequent token")
        axis.set_ylim(bottom=0)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_xlabel("tokens ahead")
        axis.set_ylabel("accuracy of a linear probe")
        axis.legend(loc="upper right", fontsize=6)
        axis.grid(True, color=GRAY, linewidth=0.3, alpha=0.4)
        if title:
            figure.suptitle(literal(title), fontsize=9, color=INK)
        paths = save(figure, stem)
    head = ["distance", "accuracy", "low", "high", "constant", "untrained"]
    rows = zip(*(np.asarray(x).tolist() for x in (distance, accuracy, low, high, constant, untrained)))
    return [*paths, write_csv(stem.with_name(f"{stem.name}.csv"), head, rows)]
