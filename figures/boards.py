"""The true board, the board that the probe reads, and the moves that the model expects, for some positions.

Reads `board_probe.npz` of an evidence folder alone. Discs of the player to move are black, those of the other player
white; a red frame marks a square that the probe reads wrongly. In the third row, the area of a dot is the probability
of the move, black for a legal and red for an illegal move; a ring marks every legal move.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from worldbench.core.arrays import Array, Named
from worldbench.figures import evidence as files
from worldbench.figures.style import GRAY, INK, RED, literal, paper_style, save, write_csv

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NEEDED: Named = {
    "shape": Array("int", (2,), least=1),
    "shown_true": Array("int", ("P+", "C"), least=0),
    "shown_probed": Array("int", ("P+", "C"), least=0),
    "shown_seen": Array("int", ("P+",), least=0),
    "shown_probability": Array("float", ("P+", "C")),
    "shown_legal": Array("bool", ("P+", "C")),
}
"""Shape letters: P positions, C squares."""
GREEN = "#dfe8dc"
DISC = {1: INK, 2: "white"}


def draw(evidence: Path, stem: Path, *, title: str = "") -> list[Path]:
    """Draw `stem`.png and .svg, with every square in `stem`.csv. Errors: InputError without the arrays."""
    arrays = files.read(evidence, NEEDED)
    shape, true, probed, seen, probability, legal = (arrays[name] for name in NEEDED)
    rows, columns = (int(x) for x in shape)
    if rows * columns != true.shape[1]:
        return []
    shown = len(true)
    with paper_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(1.15 * shown + 0.5, 3.9), layout="constrained", facecolor="white")
        axes = figure.subplots(3, shown, squeeze=False)
        for k in range(shown):
            for axis in axes[:, k]:
                _board(axis, rows, columns)
            _discs(axes[0, k], true[k], columns)
            _discs(axes[1, k], probed[k], columns)
            _frames(axes[1, k], probed[k] != true[k], columns)
            _moves(axes[2, k], probability[k], legal[k], columns)
            axes[0, k].set_title(f"{int(seen[k]) - 1} moves", fontsize=7)
        for axis, name in zip(axes[:, 0], ("true board", "probed board", "expected moves")):
            axis.set_ylabel(name, fontsize=7)
        if title:
            figure.suptitle(literal(title), fontsize=9, color=INK)
        paths = save(figure, stem)
    head = ["position", "seen", "row", "column", "true", "probed", "probability", "legal"]
    cells = (
        [k, int(seen[k]), c // columns, c % columns, int(true[k, c]), int(probed[k, c]), float(probability[k, c]),
         int(legal[k, c])]
        for k in range(shown)
        for c in range(rows * columns)
    )  # fmt: skip
    return [*paths, write_csv(stem.with_name(f"{stem.name}.csv"), head, cells)]


def _board(axis: Axes, rows: int, columns: int) -> None:
    """An empty board: squares of one unit, rows from the top."""
    axis.set_xlim(-0.5, columns - 0.5)
    axis.set_ylim(rows - 0.5, -0.5)
    axis.set_aspect("equal")
    axis.set_facecolor(GREEN)
    axis.set_xticks([])
    axis.set_yticks([])
    for k in range(1, max(rows, columns)):
        axis.axhline(k - 0.5, color=GRAY, linewidth=0.3)
        axis.axvline(k - 0.5, color=GRAY, linewidth=0.3)


def _each(mask: np.ndarray, columns: int) -> Any:
    """(column, row) of every square where a mask [C] is true."""
    return [(int(c) % columns, int(c) // columns) for c in np.flatnonzero(mask)]


def _discs(axis: Axes, board: np.ndarray, columns: int) -> None:
    from matplotlib.patches import Circle

    for kind, color in DISC.items():
        for place in _each(board == kind, columns):
            axis.add_patch(Circle(place, 0.38, facecolor=color, edgecolor=INK, linewidth=0.4))


def _frames(axis: Axes, wrong: np.ndarray, columns: int) -> None:
    from matplotlib.patches import Rectangle

    for x, y in _each(wrong, columns):
        axis.add_patch(Rectangle((x - 0.46, y - 0.46), 0.92, 0.92, fill=False, edgecolor=RED, linewidth=1.0))


def _moves(axis: Axes, probability: np.ndarray, legal: np.ndarray, columns: int) -> None:
    from matplotlib.patches import Circle

    for place in _each(legal, columns):
        axis.add_patch(Circle(place, 0.42, fill=False, edgecolor=INK, linewidth=0.5))
    for square in np.flatnonzero(probability > 1e-3):
        place = int(square) % columns, int(square) // columns
        color = INK if legal[square] else RED
        radius = 0.42 * float(np.sqrt(min(probability[square], 1.0)))
        axis.add_patch(Circle(place, radius, facecolor=color, edgecolor="none"))
