"""True beliefs beside probed beliefs, with each prefix colored by its true belief (Shai et al. 2024, arXiv 2405.15943,
figures 1 and 5).

Three states: the simplex. More states, or a generalized process: the first two principal components of the true
beliefs, onto which the probed beliefs are projected too. Reads `evidence/belief_probe.npz`, nothing else. Shape
letters: M prefixes, S states.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from worldbench.core.errors import InputError
from worldbench.figures import evidence as files
from worldbench.figures.style import GRAY, INK, literal, paper_style, save, write_csv

CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])
MOST_DISTINCT, LEAST_SIZE = 100, 9.0


def lay_out(
    belief: np.ndarray, predicted: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """Places of true and probed beliefs in the plane [M, 2] each, colors [M, 3], and what the plane is: "simplex", or
    "components"."""
    if belief.shape[1] == 3 and (belief >= 0).all():
        return belief @ CORNERS, predicted @ CORNERS, np.clip(0.08 + 0.84 * belief, 0, 1), "simplex"
    w = weight / weight.sum()
    mean = w @ belief
    _, axes = np.linalg.eigh(((belief - mean) * w[:, None]).T @ (belief - mean))
    axes = axes[:, ::-1] * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])[::-1]
    flat = (belief - mean) @ axes[:, : min(3, belief.shape[1])]
    flat = np.pad(flat, ((0, 0), (0, 3 - flat.shape[1])))
    span = np.maximum(np.ptp(flat, axis=0), 1e-12)
    colors = 0.08 + 0.84 * np.where(np.ptp(flat, axis=0) > 1e-9, (flat - flat.min(axis=0)) / span, 0.5)
    probed = np.pad((predicted - mean) @ axes[:, :2], ((0, 0), (0, max(0, 2 - belief.shape[1]))))
    return flat[:, :2], probed, colors, "components"


def draw(evidence: Path, stem: Path, *, title: str = "") -> list[Path]:
    """Draw `stem`.png and .svg, with every point in `stem`.csv. Errors: InputError for a file that is not the belief
    probe's evidence."""
    arrays = files.read(evidence, files.BELIEFS)
    belief, predicted, weight = (arrays[n] for n in files.BELIEFS)
    if not weight.sum() > 0:
        raise InputError(f"the beliefs in {str(evidence)!r} have no weight; {files.made_by(evidence)}")
    true, probed, colors, plane = lay_out(belief, predicted, weight)
    order = np.argsort(-weight, kind="stable")  # rare prefixes are drawn over common ones, whose points are larger
    size = np.clip(60 * np.sqrt(weight / weight.sum()), 1.2, 30)
    few = len(np.unique(true.round(6), axis=0)) <= MOST_DISTINCT
    with paper_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.4, 3.0), layout="constrained", facecolor="white")
        axes = figure.subplots(1, 2, sharex=True, sharey=True)
        for axis, points, name in zip(axes, (true, probed), ("true", "probed")):
            least = LEAST_SIZE if few and name == "true" else 0.0  # many prefixes lie on each point
            axis.scatter(
                *points[order].T,
                s=np.maximum(size[order], least),
                c=colors[order],
                linewidths=0,
                alpha=0.9,
                rasterized=True,
            )
            axis.set_title(f"{name} beliefs")
            if plane == "simplex":
                axis.plot(*CORNERS[[0, 1, 2, 0]].T, color=GRAY, linewidth=0.6, zorder=0)
                axis.set_axis_off()
            else:
                axis.set_xlabel("first principal component")
            axis.set_aspect("equal")
        if plane == "components":
            axes[0].set_ylabel("second principal component")
        frame(axes[0], true, probed, plane)
        if title:
            figure.suptitle(literal(title), fontsize=9, color=INK)
        paths = save(figure, stem)
    states = [f"belief_{i}" for i in range(belief.shape[1])] + [f"probed_{i}" for i in range(belief.shape[1])]
    rows = (
        [float(v) for v in (weight[i], *true[i], *probed[i], *belief[i], *predicted[i])] for i in range(len(weight))
    )  # fmt: skip
    return [
        *paths,
        write_csv(
            stem.with_name(f"{stem.name}.csv"), ["weight", "true_x", "true_y", "probed_x", "probed_y", *states], rows
        ),
    ]


def frame(axis: Any, true: np.ndarray, probed: np.ndarray, plane: str) -> None:
    """Limits of the axes: all true points, and probed points except the outermost hundredth, so that a single distant
    prefix does not shrink the picture."""
    low, high = np.quantile(probed, 0.01, axis=0), np.quantile(probed, 0.99, axis=0)
    all_true = CORNERS if plane == "simplex" else true
    low, high = np.minimum(low, all_true.min(axis=0)), np.maximum(high, all_true.max(axis=0))
    pad = 0.05 * np.maximum(high - low, 0.2)
    axis.set_xlim(low[0] - pad[0], high[0] + pad[0])
    axis.set_ylim(low[1] - pad[1], high[1] + pad[1])
