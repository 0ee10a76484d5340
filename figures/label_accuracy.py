"""The share of right labels at each place, and where the length of training ends.

Reads `label_accuracy.npz` of an evidence folder alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from worldbench.core.arrays import Array, Named
from worldbench.figures import evidence as files
from worldbench.figures.style import GRAY, INK, RED, literal, paper_style, save, write_csv

NEEDED: Named = {
    "by_position": Array("int", ("L+",)),
    "by_n": Array("int", ("L+",)),
    "by_right": Array("float", ("L+",)),
}
OPTIONAL: Named = {"trained_length": Array("int", ())}


def draw(evidence: Path, stem: Path, *, title: str = "") -> list[Path]:
    """Draw `stem`.png and .svg, with the numbers in `stem`.csv. Errors: InputError without the arrays."""
    arrays = files.read(evidence, NEEDED, OPTIONAL)
    position, n, right = (arrays[name] for name in NEEDED)
    trained = int(arrays.get("trained_length", np.array(0)))
    with paper_style():
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        figure = Figure(figsize=(3.4, 2.4), layout="constrained", facecolor="white")
        axis = figure.subplots()
        if 0 < trained < int(position[-1]):
            axis.axvline(trained, color=INK, linewidth=0.8, linestyle=(0, (4, 2)), label="length of training")
            axis.legend(loc="upper right", fontsize=6)
        axis.plot(position, right, color=RED, linewidth=1.0, marker="o", markersize=2.4)
        axis.set_ylim(-0.03, 1.03)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_xlabel("tokens after the prompt")
        axis.set_ylabel("share of labels that are right")
        axis.grid(True, color=GRAY, linewidth=0.3, alpha=0.4)
        if title:
            figure.suptitle(literal(title), fontsize=9, color=INK)
        paths = save(figure, stem)
    rows = zip(*(np.asarray(x).tolist() for x in (position, n, right)))
    return [*paths, write_csv(stem.with_name(f"{stem.name}.csv"), ["position", "n", "right"], rows)]
