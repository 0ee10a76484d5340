"""Singular values of the hidden states, largest first, beside those of the untrained network. They show over how many
directions the hidden states spread.

Reads `effective_rank.npz` of an evidence folder alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from worldbench.core.arrays import Array, Named
from worldbench.figures import evidence as files
from worldbench.figures.style import BLUE, GRAY, INK, literal, paper_style, save, write_csv

CURVES = {
    "singular_values": ("hidden states", INK, "-"),
    "singular_values_centred": ("centered", BLUE, "-"),
    "singular_values_untrained": ("untrained network", GRAY, "--"),
}
NEEDED: Named = {"singular_values": Array("float", ("K+",), least=0)}
OPTIONAL: Named = {
    "singular_values_centred": Array("float", ("C+",), least=0),
    "singular_values_untrained": Array("float", ("U+",), least=0),
}


def draw(evidence: Path, stem: Path, *, title: str = "") -> list[Path]:
    """Draw `stem`.png and .svg, with the values in `stem`.csv, each spectrum over its sum. Errors: InputError for a
    file without spectra."""
    arrays = files.read(evidence, NEEDED, OPTIONAL)
    shares = {name: arrays[name] / max(float(arrays[name].sum()), 1e-300) for name in CURVES if name in arrays}
    with paper_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(3.6, 2.5), layout="constrained", facecolor="white")
        axis = figure.subplots()
        for name, share in shares.items():
            label, color, line = CURVES[name]
            p = share[share > 0]
            rank = float(np.exp(-(p * np.log(p)).sum())) if len(p) else float("nan")
            seen = p > 1e-6 * p.max(initial=0.0)
            label = f"{label}, rank {rank:.1f}"
            axis.plot(
                np.arange(1, len(p) + 1)[seen],
                p[seen],
                color=color,
                linestyle=line,
                linewidth=1.0,
                marker="o",
                markersize=1.8,
                label=label,
            )
        axis.set_yscale("log")
        axis.set_xlabel("singular value, by size")
        axis.set_ylabel("share of their sum")
        axis.grid(True, which="major", color=GRAY, linewidth=0.3, alpha=0.4)
        axis.legend(loc="best")
        if title:
            axis.set_title(literal(title), fontsize=9, color=INK)
        paths = save(figure, stem)
    longest = max(len(s) for s in shares.values())
    rows = ([i + 1, *(float(s[i]) if i < len(s) else None for s in shares.values())] for i in range(longest))
    return [*paths, write_csv(stem.with_name(f"{stem.name}.csv"), ["index", *shares], rows)]
