"""Beliefs that a linear probe reads from the hidden states, at some checkpoints from the first to the last, beside the
exact beliefs.

Beliefs over three states lie in the simplex; others are drawn along the first two principal components of the exact
beliefs (over two states: the probed belief against the exact one). A prefix has the color of its exact belief in every
panel. Reads a trace and its evidence.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from worldbench.core.errors import InputError
from worldbench.figures import evidence as files
from worldbench.figures.style import GRAY, INK, literal, paper_style, save, write_csv
from worldbench.records.finding import evidence_folder
from worldbench.records.reading import read
from worldbench.records.runs import Point, Trace
from worldbench.records.scores import value_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = 5
MOST = 3000
"""Number of prefixes that are drawn, chosen evenly among the scored ones."""
CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 3**0.5 / 2]])

Project = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(beliefs [M, S], exact beliefs of the same prefixes [M, S]) -> points in the picture [M, 2]."""


def draw_kept(trace: Path, out: Path, *, title: str = "") -> list[Path]:
    """`draw`, if the evidence of the trace is kept; else nothing is drawn."""
    return draw(trace, out, title=title) if evidence_folder(trace).is_dir() else []


def draw(trace: Path, out: Path, *, title: str = "") -> list[Path]:
    """Draw `out`.png and .svg, with every point in `out`.csv. Returns the files written: none where the trace has no
    beliefs, or they do not vary.

    trace: a trace file with its evidence folder beside it. Errors: InputError where the evidence is missing or is not
    of these checkpoints.
    """
    points = [p for p in read(trace, Trace).trace if "belief_probe" in p.scores]
    if not points:
        return []
    chosen = [points[i] for i in spaced([_loss(p) for p in points], PANELS)]
    folder = evidence_folder(trace)
    films = [files.read(folder / f"{p.step:08d}" / "belief_probe.npz", files.BELIEFS) for p in chosen]
    belief = films[0]["belief"]
    if any(not np.array_equal(f["belief"], belief) for f in films):
        raise InputError(
            f"the evidence in {str(folder)!r} is not of one evaluation; delete it and "
            f"{trace.name}, and trace the run again"
        )
    drawn = np.unique(np.linspace(0, len(belief) - 1, min(MOST, len(belief))).round().astype(int))
    belief = belief[drawn]
    project, corners, labels = projection(belief)
    if project is None:
        return []
    color = colors(belief)
    order = np.argsort(-films[0]["weight"][drawn], kind="stable")[::-1]  # rare prefixes below
    heads = [f"step {p.step:,}\n{_caption(p)}" for p in chosen]
    panels = [*(project(f["predicted"][drawn], belief) for f in films), project(belief, belief)]
    with paper_style():
        from matplotlib.figure import Figure

        figure = Figure(
            figsize=(1.55 * len(panels) + 0.3, 2.15 if corners is None else 1.9),
            layout="constrained",
            facecolor="white",
        )
        axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
        seen = np.concatenate(
            [panels[-1], np.quantile(panels[-2], (0.005, 0.995), axis=0)]
        )  # what a late probe reads beyond the true range is shown
        low, high = seen.min(axis=0), seen.max(axis=0)
        for axis, place, head in zip(axes, panels, [*heads, "exact belief\n"]):
            _panel(axis, place[order], color[order], corners, 3.5 if place is not panels[-1] else 7)
            axis.set_title(head, fontsize=7)
            axis.set_xlabel(labels[0])
            if corners is None:
                room = 0.08 * (high - low) + 1e-3
                axis.set_xlim(low[0] - room[0], high[0] + room[0])
                axis.set_ylim(low[1] - room[1], high[1] + room[1])
        axes[0].set_ylabel(labels[1])
        if title:
            figure.suptitle(literal(title), fontsize=9, color=INK)
        paths = save(figure, out)
    states = [f"belief_{i + 1}" for i in range(belief.shape[1])]
    rows = [
        (kind, step, int(film), *np.round([*place, *truth], 6).tolist())
        for kind, step, places in [
            *(("probed", p.step, panel) for p, panel in zip(chosen, panels)),
            ("exact", None, panels[-1]),
        ]
        for film, place, truth in zip(drawn, places, belief)
    ]
    return [*paths, write_csv(out.with_name(f"{out.name}.csv"), ("kind", "step", "prefix", "x", "y", *states), rows)]


def spaced(loss: list[float | None], count: int) -> list[int]:
    """The indices of at most `count` checkpoints, from the first to the last, evenly spaced in the log of their loss;
    without losses, evenly spaced in their order.
    """
    n = len(loss)
    if n <= count:
        return list(range(n))
    at = np.arange(n, dtype=float)
    if all(x is not None and 0 < x < np.inf for x in loss):
        at = -np.log(np.array(loss, float))
    chosen = {0, n - 1}
    for goal in np.linspace(at[0], at[-1], count)[1:-1]:
        free = [i for i in range(n) if i not in chosen]
        chosen.add(min(free, key=lambda i: abs(at[i] - goal)))
    return sorted(chosen)


def projection(belief: np.ndarray) -> tuple[Project | None, np.ndarray | None, tuple[str, str]]:
    """How beliefs [M, S] are drawn: the projection, the corners of the simplex (None for other beliefs), and the names
    of the axes. The projection is None if the beliefs do not vary.
    """
    if belief.shape[1] == 3 and (belief > -1e-9).all() and np.allclose(belief.sum(axis=1), 1):
        return (lambda b, _: b @ CORNERS), CORNERS, ("", "")
    center = belief.mean(axis=0)
    size, axes = np.linalg.eigh(np.cov((belief - center).T).reshape(len(center), len(center)))
    axes = axes[:, ::-1] * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(len(center))])[::-1]
    varied = int((size > 1e-9 * max(size.max(), 1e-12)).sum()) if size.max() > 1e-12 else 0
    if varied == 0:
        return None, None, ("", "")
    if varied == 1:
        along = axes[:, 0]
        return (
            (lambda b, exact: np.stack([(exact - center) @ along, (b - center) @ along], axis=1)),
            None,
            ("exact", "drawn"),
        )
    return (lambda b, _: (b - center) @ axes[:, :2]), None, ("component 1", "component 2")


def colors(belief: np.ndarray) -> np.ndarray:
    """RGB colors [M, 3] in [0, 1]: the belief itself for three states, else its first three principal components, each
    scaled to its range.
    """
    if belief.shape[1] == 3 and (belief > -1e-9).all():
        rgb = np.clip(belief, 0, 1)
    else:
        centered = belief - belief.mean(axis=0)
        _, _, axes = np.linalg.svd(centered, full_matrices=False)
        rgb = np.zeros((len(belief), 3))
        along = centered @ (axes[:3] * np.sign(axes[:3].sum(axis=1, keepdims=True) + 1e-12)).T
        rgb[:, : along.shape[1]] = (along - along.min(axis=0)) / np.maximum(np.ptp(along, axis=0), 1e-12)
    return 0.08 + 0.8 * rgb


def _panel(axis: Axes, place: np.ndarray, color: np.ndarray, corners: np.ndarray | None, size: float) -> None:
    axis.scatter(place[:, 0], place[:, 1], c=color, s=size, linewidths=0, alpha=0.75, rasterized=True)
    axis.set_xticks([])
    axis.set_yticks([])
    if corners is None:
        axis.spines[["left", "bottom"]].set_color(GRAY)
        return
    axis.spines[["left", "bottom"]].set_visible(False)
    axis.fill(*corners.T, facecolor="none", edgecolor=GRAY, linewidth=0.6)
    axis.set_aspect("equal")
    axis.set_xlim(-0.14, 1.14)
    axis.set_ylim(-0.14, 1.02)


def _loss(point: Point) -> float | None:
    return value_of(point.scores, "excess_loss.kl")


def _caption(point: Point) -> str:
    r2, loss = point.scores["belief_probe"].value("r2"), _loss(point)
    return ", ".join(([] if r2 is None else [f"R² {r2:.2f}"]) + ([] if loss is None else [f"excess {loss:.2g}"]))
