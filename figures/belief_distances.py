"""Distances between pairs of exact beliefs against distances between what stands for them: probed beliefs, hidden
states as they are, next-token laws.

Where belief and next-token geometry differ (RRXOR), this is the picture that tells which of them a model has (Shai et
al. 2024, arXiv 2405.15943, figure 7). Reads `evidence/belief_probe.npz`, nothing else.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from worldbench.core.arrays import Array, Named
from worldbench.core.errors import InputError
from worldbench.figures import evidence as files
from worldbench.figures.style import INK, literal, paper_style, save, write_csv

PANELS = {
    "distance_probed": "probed beliefs",
    "distance_untrained": "probed, untrained",
    "distance_hidden": "hidden states",
    "distance_law": "next-token laws",
}
DISTANCES = Array("float", ("K",), least=0)
NEEDED: Named = dict.fromkeys(("distance_belief", "distance_probed", "distance_hidden"), DISTANCES)
OPTIONAL: Named = {name: DISTANCES for name in PANELS if name not in NEEDED}
CELLS = 26
MOST_ROWS = 2000
"""Number of pairs in the CSV; the picture and its numbers use all pairs."""


def draw(evidence: Path, stem: Path, *, title: str = "") -> list[Path]:
    """Draw `stem`.png and .svg, with the first 2,000 pairs in `stem`.csv. Errors: InputError for a file without
    distances."""
    arrays = files.read(evidence, NEEDED, OPTIONAL)
    true = arrays["distance_belief"]
    shown = [name for name in PANELS if name in arrays]
    if len(true) < 2:
        raise InputError(f"there are no pairs of beliefs to draw in {str(evidence)!r}")
    with paper_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(1.9 * len(shown) + 0.4, 2.5), layout="constrained", facecolor="white")
        for axis, name in zip(np.ravel(figure.subplots(1, len(shown))), shown):
            y = arrays[name]
            top = max(float(np.quantile(y, 0.995)), 1e-9) * 1.08
            right = max(float(true.max()), 1e-9) * 1.04
            grid, extent = (CELLS, CELLS * 2 // 3), (0, right, 0, top)
            axis.hexbin(
                true,
                np.minimum(y, top),
                gridsize=grid,
                extent=extent,
                bins="log",
                mincnt=1,
                cmap="Blues",
                linewidths=0.1,
            )
            axis.set_xlim(0, right)
            axis.set_ylim(0, top)
            r = np.corrcoef(true, y)[0, 1] if np.ptp(true) > 0 and np.ptp(y) > 0 else float("nan")
            axis.set_title(f"{PANELS[name]}\nr = {r:.3f}", fontsize=8)
            axis.set_xlabel("distance of exact beliefs")
            if name == shown[0]:
                axis.set_ylabel("distance between")
        if title:
            figure.suptitle(literal(title), fontsize=9, color=INK)
        paths = save(figure, stem)
    rows = zip(*(arrays[n][:MOST_ROWS].tolist() for n in ("distance_belief", *shown)))
    return [*paths, write_csv(stem.with_name(f"{stem.name}.csv"), ["distance_belief", *shown], rows)]
