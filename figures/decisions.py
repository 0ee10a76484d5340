"""The share of right answers at each place after the prompt, beside the best guess of a reader without the goal.

Reads `decisions.npz` of an evidence folder alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from worldbench.core.arrays import Array, Named
from worldbench.figures import evidence as files
from worldbench.figures.style import BLUE, GRAY, INK, RED, literal, paper_style, save, write_csv

SHARE = Array("float", ("L+",))
NEEDED: Named = {
    "by_position": Array("int", ("L+",)),
    "by_n": Array("int", ("L+",)),
    **dict.fromkeys(("by_right", "by_decisions", "by_chance"), SHARE),
}


def draw(evidence: Path, stem: Path, *, title: str = "") -> list[Path]:
    """Draw `stem`.png and .svg, with the numbers in `stem`.csv. Errors: InputError without the arrays."""
    arrays = files.read(evidence, NEEDED)
    position, n, right, decisions, chance = (arrays[name] for name in NEEDED)
    with paper_style():
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        figure = Figure(figsize=(3.4, 2.8), layout="constrained", facecolor="white")
        axis = figure.subplots()
        axis.bar(position, decisions, width=0.9, color=GRAY, alpha=0.35, label="share of documents that decide here")
        axis.plot(
            position, chance, color=INK, linewidth=0.9, linestyle=(0, (4, 2)), label="best guess without the goal"
        )
        axis.plot(position, right, color=RED, linewidth=1.0, marker="o", markersize=2.8, label="model")
        axis.set_ylim(-0.03, 1.06)
        axis.set_xlabel("tokens after the prompt")
        axis.set_ylabel("share that is right")
        if len(position) <= 12:
            axis.set_xticks(position)
        else:
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(loc="outside lower center", fontsize=6)  # below the axes, where it covers no bar
        axis.grid(True, axis="y", color=BLUE, linewidth=0.3, alpha=0.2)
        if title:
            figure.suptitle(literal(title), fontsize=9, color=INK)
        paths = save(figure, stem)
    rows = zip(*(np.asarray(x).tolist() for x in (position, n, right, decisions, chance)))
    head = ["position", "n", "right", "decisions", "chance"]
    return [*paths, write_csv(stem.with_name(f"{stem.name}.csv"), head, rows)]
