"""Exact beliefs, and the beliefs that probes predict from the hidden states of several models, on the simplex.

Reads the evidence of the metric `belief_probe`. Of each model, the seed with the median R^2 is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from worldbench.core.errors import InputError
from worldbench.figures import belief_simplex
from worldbench.figures import evidence as files
from worldbench.figures.paper.evidence import evidence_of, middle_run, no_evidence, without
from worldbench.figures.paper.groups import Group, Material, Series
from worldbench.figures.paper.plate import DARK, Plate, in_lines, rows_for
from worldbench.records.runs import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METRIC = "belief_probe"


@dataclass(frozen=True)
class Cloud:
    """The beliefs of one panel. at: float [M, 2]. colors: float [M, 3]. weight: float [M], of the prefixes."""

    name: str
    words: str
    seed: int | None
    at: np.ndarray
    colors: np.ndarray
    weight: np.ndarray


def plates(material: Material) -> list[Plate | str]:
    """A picture for each world with probed beliefs."""
    having, out = [], list["Plate | str"]()
    for group in material.results:
        shown = [s for s in group.having(METRIC) if not s.reference]
        having += shown
        clouds, plane = _clouds(material, shown)
        if clouds:
            out.append(_plate(group, clouds, plane))
            drawn = {cloud.name for cloud in clouds}
            out += without("beliefs", group, [s.label for s in shown if s.label not in drawn])
    return out or [no_evidence("beliefs", METRIC, having)]


def _clouds(material: Material, shown: list[Series[Result]]) -> tuple[list[Cloud], str]:
    """The exact beliefs, and those of each model; and the plane in which they lie (see `belief_simplex.lay_out`)."""
    clouds: list[Cloud] = []
    plane = "simplex"
    for series in shown:
        data = evidence_of(material, run := middle_run(series, METRIC, "r2"), METRIC, _load)
        if data is None or run is None:
            continue
        belief, predicted, weight = (data[name] for name in files.BELIEFS)
        true, probed, colors, plane = belief_simplex.lay_out(belief, predicted, weight)
        if not clouds:
            clouds.append(Cloud("exact", "", None, true, colors, weight))
        r2 = run[1].scores[METRIC].value("r2")
        words = "" if r2 is None else f"R² = {r2:.3f}"
        clouds.append(Cloud(series.label, words, run[1].seed, probed, colors, weight))
    return clouds, plane


def _plate(group: Group[Result], clouds: list[Cloud], plane: str) -> Plate:
    rows = [(c.name, c.seed, *map(float, (w, *at))) for c in clouds for w, at in zip(c.weight, c.at)]
    where = "on the simplex of three states" if plane == "simplex" else "on their first two principal components"
    seeds = "; ".join(f"{c.name}: seed {c.seed}" for c in clouds[1:])
    caption = (
        f"Exact beliefs, and beliefs that a linear probe predicts from the hidden states, {where} ({group.world}). A "
        f"color is an exact belief. Drawn is the seed with the median R² of those with evidence ({seeds})."
    )
    return Plate(
        f"beliefs-{group.slug}", caption, ("panel", "seed", "weight", "x", "y"), rows,
        lambda width: _draw(clouds, plane, width),
    )  # fmt: skip


def _load(path: Path) -> dict[str, np.ndarray]:
    data = files.read(path, files.BELIEFS)
    if not data["weight"].sum() > 0:
        raise InputError(f"the beliefs in {str(path)!r} have no weight; {files.made_by(path)}")
    return data


def _draw(clouds: list[Cloud], plane: str, width: float) -> Figure:
    from matplotlib.figure import Figure

    rows, columns = rows_for(width, len(clouds), 1.0 if width < 4 else 1.3)
    names = [in_lines(cloud.name, width / columns, 7) for cloud in clouds]
    tall = width / columns * (0.87 if plane == "simplex" else 1.0) + 0.13 * (max(n.count("\n") for n in names) + 2)
    figure = Figure(figsize=(width, rows * tall), layout="constrained", facecolor="white")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    probed = np.concatenate([cloud.at for cloud in clouds[1:]])
    belief_simplex.frame(axes.flat[0], clouds[0].at, probed, plane)
    for axis, cloud, name in zip(axes.flat, clouds, names):
        _points(axis, cloud, plane, scale=width / columns / 3.0)
        axis.set_title("\n".join(filter(None, (name, cloud.words))), fontsize=7)
    for axis in axes.flat[len(clouds) :]:
        axis.set_axis_off()
    return figure


def _points(axis: Axes, cloud: Cloud, plane: str, scale: float) -> None:
    order = np.argsort(-cloud.weight, kind="stable")
    size = np.clip(60 * np.sqrt(cloud.weight / cloud.weight.sum()), 1.2, 30) * scale
    few = len(np.unique(cloud.at.round(6), axis=0)) <= belief_simplex.MOST_DISTINCT
    if few and cloud.name == "exact":
        size = np.maximum(size, belief_simplex.LEAST_SIZE * scale)
    axis.scatter(*cloud.at[order].T, s=size[order], c=cloud.colors[order], linewidths=0, alpha=0.9, rasterized=True)
    if plane == "simplex":
        axis.plot(*belief_simplex.CORNERS[[0, 1, 2, 0]].T, color=DARK, linewidth=0.6, zorder=0)
    axis.set_axis_off()
    axis.set_aspect("equal")
