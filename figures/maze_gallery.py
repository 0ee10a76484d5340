"""Mazes that a model solved, and mazes that it did not solve: the true path as a band, the path of the model as a line,
black where it is right, red where it leaves the true path or goes through walls.

Reads the evidence of the metric `solved_paths` (an .npz file), nothing else: the greedy answers to the first prompts of
each kind.
Coordinates: columns to the east, rows to the south; a cell is one unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from worldbench.core.arrays import Array, Named
from worldbench.core.errors import InputError
from worldbench.figures import evidence as files
from worldbench.figures.style import BLUE, INK, RED, literal, paper_style, save, write_csv

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ANSWERS: Named = {
    "true_tokens": Array("int", ("P", "L"), least=0), "true_length": Array("int", ("P",), least=0),
    "greedy_tokens": Array("int", ("P", "L"), least=0), "greedy_length": Array("int", ("P",), least=0),
    "greedy_outcome": Array("int", ("P",)), "greedy_likely": Array("bool", ("P", "L")),
}  # fmt: skip
MAZES: Named = {
    "rows": Array("int", least=1), "columns": Array("int", least=1), "passages": Array("bool", ("P", "C", 4)),
    "origin": Array("int", ("P",), index="C"), "target": Array("int", ("P",), index="C"),
    "cell_of_token": Array("int", ("V",), least=-1),
}  # fmt: skip
"""Shape letters: P prompts, L longest answer in tokens, C cells, V words."""
EACH, ACROSS = 6, 4
"""Largest number of mazes of each kind, and number of panels in a row."""
ASIDE = 0.11
"""Distance in cells of the model's line to the right of the middle of a corridor, so that a way back can be seen."""
ARRIVED, ILLEGAL, MISPLACED_END = 1, 2, 3


@dataclass(frozen=True)
class Panel:
    """An answer. moves: int [M, 2], cells from and to. right: bool [M], whether a move is on the true path. stray:
    whether a word that is no cell occurs before the end. true: cells of the true path."""

    number: int
    moves: np.ndarray
    right: np.ndarray
    stray: bool
    true: np.ndarray
    verdict: str
    solved: bool


def draw(evidence: Path, out: Path, *, title: str = "") -> list[Path]:
    """Draw `out`.png and .svg, with every drawn move in `out`.csv; the files written. Nothing where the evidence shows
    no mazes.

    Errors: InputError for a file that is no evidence of solved paths.
    """
    data = load(evidence)
    if "passages" not in data:
        return []
    panels = choose(data)
    if not panels:
        return []
    rows, columns = data["rows"].item(), data["columns"].item()
    down = -(-len(panels) // ACROSS)
    side = 1.75
    with paper_style():
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D

        figure = Figure(
            figsize=(ACROSS * side, down * (side * rows / columns + 0.22) + 0.62),
            layout="constrained",
            facecolor="white",
        )
        axes = figure.subplots(down, ACROSS, squeeze=False).ravel()
        for axis, panel in zip(axes, panels):
            _panel(axis, panel, data, rows, columns)
        for axis in axes[len(panels) :]:
            axis.set_axis_off()
        if title:
            figure.suptitle(literal(title), fontsize=9, color=INK)
        keys = [
            Line2D([], [], color=BLUE, alpha=0.28, linewidth=6, label="the path"),
            Line2D([], [], color=INK, linewidth=1.3, label="model, right"),
            Line2D([], [], color=RED, linewidth=1.3, label="model, astray or through a wall"),
            Line2D([], [], color=INK, marker="o", linestyle="", markersize=4, markerfacecolor="white", label="origin"),
            Line2D([], [], color=INK, marker="s", linestyle="", markersize=4, label="target"),
            Line2D([], [], color=RED, marker="x", linestyle="", markersize=5, label="says what is no cell"),
        ]
        figure.legend(
            handles=keys, loc="outside lower center", ncols=len(keys), fontsize=6.5, handlelength=1.6, columnspacing=1.2
        )
        paths = save(figure, out)
    columns_ = ("prompt", "verdict", "kind", "from_row", "from_column", "to_row", "to_column")
    return [*paths, write_csv(out.with_name(f"{out.name}.csv"), columns_, _table(panels, data))]


def load(path: Path) -> dict[str, np.ndarray]:
    """The arrays of the evidence of solved paths. InputError where the file holds something else."""
    if "passages" not in files.names(path):
        return files.read(path, ANSWERS)
    data = files.read(path, {**ANSWERS, **MAZES})
    cells, tokens = data["passages"].shape[1], np.stack([data["true_tokens"], data["greedy_tokens"]])
    lengths = np.stack([data["true_length"], data["greedy_length"]])
    wrong = (
        (data["rows"] * data["columns"] != cells, "has another number of cells than rows times columns"),
        (
            (tokens >= len(data["cell_of_token"])).any() or (data["cell_of_token"] >= cells).any(),
            "names cells that there are not",
        ),
        ((lengths > tokens.shape[2]).any(), "has answers that are longer than their tokens"),
    )
    for is_wrong, what in wrong:
        if is_wrong:
            raise InputError(f"cannot use {str(path)!r}: it {what}; {files.made_by(path)}")
    return data


def choose(data: dict[str, np.ndarray]) -> list[Panel]:
    """The first six answers that are right, then the first six that are wrong; if one kind has fewer, more of the
    other."""
    exact = (data["greedy_tokens"] == data["true_tokens"]).all(axis=1)
    solved = exact | ((data["greedy_outcome"] == ARRIVED) & (data["greedy_length"] == data["true_length"]))
    good, bad = np.flatnonzero(solved), np.flatnonzero(~solved)
    take = min(len(good), max(EACH, 2 * EACH - len(bad)))
    return [_answer(int(i), data) for i in (*good[:take], *bad[: 2 * EACH - take])]


def _answer(i: int, data: dict[str, np.ndarray]) -> Panel:
    cells = data["cell_of_token"]
    said = cells[data["greedy_tokens"][i, : data["greedy_length"][i]]]
    likely = data["greedy_likely"][i, : data["greedy_length"][i]]
    other = np.flatnonzero(said < 0)
    stop = int(other[0]) if len(other) else len(said)
    walk = np.concatenate([[data["origin"][i]], said[:stop]])
    moves = np.stack([walk[:-1], walk[1:]], axis=1)
    keep = moves[:, 0] != moves[:, 1]  # the first word of an answer repeats the origin
    outcome, more = int(data["greedy_outcome"][i]), int(data["greedy_length"][i] - data["true_length"][i])
    solved, walled = (
        outcome == ARRIVED and more == 0,
        _through_wall(moves[keep], data["passages"][i], data["columns"].item()),
    )
    stray = outcome == ILLEGAL and not walled
    verdict = {
        ARRIVED: f"arrives, {more} too many",
        MISPLACED_END: "ends elsewhere",
        ILLEGAL: "through a wall" if walled else "says no cell",
    }
    true = cells[data["true_tokens"][i, : data["true_length"][i] - 1]]
    return Panel(
        i,
        moves[keep],
        likely[:stop][keep],
        stray,
        true,
        "solved" if solved else verdict.get(outcome, "goes on and on"),
        solved,
    )


def _through_wall(moves: np.ndarray, passages: np.ndarray, columns: int) -> bool:
    """Whether any move leads through a wall."""
    steps = np.array([-columns, 1, columns, -1])
    way = (moves[:, 1] - moves[:, 0])[:, None] == steps[None, :]
    return not bool((passages[moves[:, 0]] & way).any(axis=1).all())


def _panel(axis: Axes, panel: Panel, data: dict[str, np.ndarray], rows: int, columns: int) -> None:
    from matplotlib.collections import LineCollection

    def center(cell: np.ndarray) -> np.ndarray:
        return np.stack([cell % columns, cell // columns], axis=-1) + 0.5

    axis.set_xlim(-0.08, columns + 0.08)
    axis.set_ylim(rows + 0.08, -0.08)
    axis.set_aspect("equal")
    axis.set_axis_off()
    scale = min(1.0, 8 / max(rows, columns))
    axis.add_collection(
        LineCollection(
            _walls(data["passages"][panel.number], rows, columns),
            colors=INK,
            linewidths=1.1 * scale,
            capstyle="round",
            zorder=3,
        )
    )
    axis.plot(
        *center(panel.true).T,
        color=BLUE,
        alpha=0.28,
        linewidth=7 * scale,
        solid_capstyle="round",
        solid_joinstyle="round",
        zorder=1,
    )
    if len(panel.moves):
        lines = _aside(center(panel.moves[:, 0]), center(panel.moves[:, 1]))
        for right, color, order in ((True, INK, 4), (False, RED, 5)):
            axis.add_collection(
                LineCollection(
                    list(lines[panel.right == right]),
                    colors=color,
                    linewidths=1.3 * scale,
                    capstyle="round",
                    zorder=order,
                )
            )
        turns = np.stack([lines[:-1, 1], lines[1:, 0]], axis=1)
        turns = turns[panel.moves[:-1, 1] == panel.moves[1:, 0]]
        axis.add_collection(
            LineCollection(list(turns), colors=RED, linewidths=1.3 * scale, zorder=4)
        )  # a move back to where it came from is never right
    origin, target = center(data["origin"][[panel.number]])[0], center(data["target"][[panel.number]])[0]
    axis.plot(
        *origin,
        marker="o",
        markersize=5 * scale,
        markerfacecolor="white",
        markeredgecolor=INK,
        markeredgewidth=1.0,
        zorder=6,
    )
    axis.plot(*target, marker="s", markersize=4.5 * scale, color=INK, zorder=6)
    if panel.stray:
        last = center(panel.moves[-1:, 1])[0] if len(panel.moves) else origin
        axis.plot(*last, marker="x", markersize=6 * scale, color=RED, markeredgewidth=1.4, zorder=7)
    axis.set_title(panel.verdict, fontsize=7, color=INK if panel.solved else RED, pad=2)


def _aside(start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Moves [M, 2 points, 2], shifted a little to the right of the middle of the corridor. At a turn both moves are
    extended to the point where their shifted lines meet."""
    along = stop - start
    right = np.stack([-along[:, 1], along[:, 0]], axis=1) * (ASIDE / np.linalg.norm(along, axis=1))[:, None]
    lines = np.stack([start + right, stop + right], axis=1)
    turn = np.flatnonzero((stop[:-1] == start[1:]).all(axis=1) & ((along[:-1] * along[1:]).sum(axis=1) == 0))
    lines[turn, 1] += right[turn + 1]
    lines[turn + 1, 0] += right[turn]
    return lines


def _walls(passages: np.ndarray, rows: int, columns: int) -> list[np.ndarray]:
    """The walls: the border, and a line between neighboring cells without a passage. Cells without any passage have
    four walls."""
    out = [np.array(line, float) for line in (((0, 0), (columns, 0), (columns, rows), (0, rows), (0, 0)),)]
    p = passages.reshape(rows, columns, 4)
    for r, c in np.argwhere(~p[:, :-1, 1]):
        out.append(np.array([(c + 1, r), (c + 1, r + 1)], float))
    for r, c in np.argwhere(~p[:-1, :, 2]):
        out.append(np.array([(c, r + 1), (c + 1, r + 1)], float))
    return out


def _table(panels: list[Panel], data: dict[str, np.ndarray]) -> list[tuple]:
    columns = data["columns"].item()
    lines: list[tuple] = []
    for p in panels:
        parts = [
            ("path", np.stack([p.true[:-1], p.true[1:]], axis=1)),
            ("right", p.moves[p.right]),
            ("wrong", p.moves[~p.right]),
        ]
        cell, way = np.nonzero(data["passages"][p.number][:, 1:3])
        parts.append(("passage", np.stack([cell, cell + np.array([1, columns])[way]], axis=1)))
        for kind, moves in parts:
            lines += [
                (p.number, p.verdict, kind, a // columns, a % columns, b // columns, b % columns)
                for a, b in moves.tolist()
            ]
    return lines
