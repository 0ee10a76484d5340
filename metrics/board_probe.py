"""Board probe: can a linear map read every square of the board off the hidden state?

Shape letters: N documents, M positions, D, E width, C squares, K classes of a square.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from worldbench.core.abilities import Able, HasBoards
from worldbench.core.metric import Damage, Direction, Expectation, Metric, Report, Score
from worldbench.core.model import HasHidden
from worldbench.core.options import LATER, small
from worldbench.core.world import Automaton, Documents
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.hidden_states import Positions, hidden_at, layers_at, positions
from worldbench.metrics.options import require_at_least
from worldbench.metrics.probe_scores import UNITS, Part, refitted, single, wider
from worldbench.metrics.rollout import probabilities

SHOWN = 6
"""Positions whose boards are kept for the figure."""


@dataclass(frozen=True, kw_only=True)
class BoardOptions:
    """What the board probe is fitted and scored on."""

    board_documents: int = field(default=400, metadata={**LATER, **small(100)})
    """Number of held-out games for board_probe. Each half of them is scored by a probe that is fitted on the other
    half."""

    def __post_init__(self) -> None:
        require_at_least(self, "eval", 4, "board_documents")


@dataclass(frozen=True)
class Readers:
    """One linear map a square: weight [C, K, D], bias [C, K]. The class with the largest value is read."""

    weight: np.ndarray
    bias: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The board that is read from hidden states [M, D]: int [M, C]."""
        squares, classes, width = self.weight.shape
        value = x @ self.weight.reshape(squares * classes, width).T
        return (value.reshape(len(x), squares, classes) + self.bias).argmax(axis=2)


def fit_readers(x: np.ndarray, board: np.ndarray, classes: int) -> Readers:
    """Fisher's linear discriminant for every square of a board int [M, C], from hidden states x [M, D], as
    `linear_probe.fit_discriminant` fits it for one. The products of all rows are computed once for all squares."""
    m, squares = board.shape
    member = (board[:, :, None] == np.arange(classes)).reshape(m, -1).astype(float)
    count = member.sum(axis=0).reshape(squares, classes)
    mean = (member.T @ x).reshape(squares, classes, -1) / np.maximum(count, 1)[:, :, None]
    center = x.mean(axis=0)
    total = x.T @ x / m
    between = np.einsum("ck,ckd,cke->cde", count / m, mean, mean)
    within = total - between
    small_ridge = 1e-4 * max(float(np.trace(total) - center @ center) / x.shape[1], 1e-30)
    within += small_ridge * np.eye(x.shape[1])
    weight = np.moveaxis(np.linalg.solve(within, np.moveaxis(mean, 1, 2)), 2, 1)
    with np.errstate(divide="ignore"):
        bias = np.log(count / m) - 0.5 * (mean * weight).sum(axis=2)
    return Readers(weight, bias)


class BoardProbe(Metric):
    """The share of squares whose class a linear map of the hidden state predicts: for each square, Fisher's linear
    discriminant (Li et al. 2023, arXiv 2210.13382; the linear probe of Nanda et al. 2023, arXiv 2309.00941).

    `mover`: empty, a disc of the player to move, or of the other player. `color`: empty, black, or white. Published
    networks hold the board in the terms of the mover. Controls: `_untrained`, an untrained network; `_constant`, the
    most frequent class of each square. Each half of the held-out games is scored by the probe that is fitted on the
    other half; intervals are over games, with new fits. The series has every layer.

    Sees: whether the board can be read linearly. Cannot see: whether the model uses it (state_swap looks at that).
    """

    name, version, direction = "board_probe", 1, "higher"
    primary = "mover"
    beside = ("mover_untrained",)
    directions: ClassVar[dict[str, Direction]] = {"color": "higher", "*_untrained": "none", "*_constant": "none"}
    needs, needs_of_model, serves_labels = (Automaton, HasBoards), (HasHidden,), True
    floor = None
    ceiling = "oracle"
    apart = True
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "oracle": (Expectation("mover", 0.99, 1), Expectation("color", 0.99, 1)),
        "untrained": (Expectation("mover", 0, 0.9), Expectation("color", 0, 0.9)),
    }
    damage: ClassVar[tuple[Damage, ...]] = (
        Damage("color", worse=("blur",), unchanged=("drift",), monotone=True),
        Damage("mover", worse=("blur",), unchanged=("drift",)),
    )

    def measure(self, evaluation: Evaluation) -> Report:
        world, model, n = evaluation.world, evaluation.model, evaluation.settings.board_documents
        documents = world.sample(evaluation.seed, "test", 0, n)
        at = positions(world, documents)
        boards = {view: np.asarray(board) for view, board in world.boards(at.states).items()}
        classes = {view: int(board.max()) + 1 for view, board in boards.items()}
        half = at.row % 2 == 0

        def predicted(x: np.ndarray, view: str, kept: np.ndarray) -> np.ndarray:
            """The board that the probe of the other half reads at each kept position, int [M, C]."""
            out = np.zeros(boards[view].shape, np.int64)
            for fit in (half & kept, ~half & kept):
                scored = kept & ~fit
                out[scored] = fit_readers(x[fit], boards[view][fit], classes[view])(x[scored])
            return out

        def values(x: np.ndarray, part: Part) -> dict[str, float]:
            kept = part.kept(n, 2)[at.row]
            return {v: float((predicted(x, v, kept) == b)[kept].mean()) for v, b in boards.items()}

        h = hidden_at(model, documents, at.row, at.prefix_length)
        scores = refitted(lambda part: values(h, part), n, lambda name: (0.0, 1.0))
        untrained, everything = model.untrained(evaluation.seed), Part()
        if untrained is not None:
            plain = values(hidden_at(untrained, documents, at.row, at.prefix_length), everything)
            scores |= {f"{view}_untrained": single(value, n) for view, value in plain.items()}
        every = np.ones(len(at.row), bool)
        found = {view: predicted(h, view, every) for view in boards}
        for view, board in boards.items():
            right = (found[view] == board).mean(axis=1)
            share = Score.share(np.bincount(at.row, right, n), np.bincount(at.row, minlength=n), UNITS)
            scores[view] = wider(scores[view], share)
            scores[f"{view}_constant"] = single(constant_accuracy(board, half, classes[view]), n)
        report = Report(scores)
        if untrained is None:
            report.notes.append(f"no untrained control: {model.name!r} has no untrained twin")
        layers = layers_at(model, documents, at.row, at.prefix_length)
        by_layer = {name: values(x, everything) for name, x in layers.items()}
        report.series["by_layer"] = {"layer": list(layers)} | {
            view: [by_layer[name][view] for name in layers] for view in boards
        }
        view = next(iter(boards))
        report.arrays = self._shown(world, evaluation, documents, at, boards[view], found[view])
        return report

    @staticmethod
    def _shown(
        world: Able, evaluation: Evaluation, documents: Documents, at: Positions, board: np.ndarray, found: np.ndarray
    ) -> dict[str, np.ndarray]:
        """What the figure needs of some positions, evenly spread over the lengths of the first games."""
        spread = [
            int(np.flatnonzero(at.row == k)[int((k + 1) / (SHOWN + 1) * (at.row == k).sum())])
            for k in range(min(SHOWN, len(documents)))
        ]
        rows = np.array(spread)
        out = {
            "shape": np.array(world.board_shape),
            "shown_true": board[rows],
            "shown_probed": found[rows],
            "shown_seen": at.prefix_length[rows],
            "square_accuracy": (found == board).mean(axis=0),
        }
        logits = evaluation.model.logits(documents.take(at.row[rows]).inputs)
        p = probabilities(logits[np.arange(len(rows)), at.prefix_length[rows] - 1])
        square, actions = np.asarray(world.square_of_action), np.array(world.vocabulary.actions)
        named, legal = np.flatnonzero(square >= 0), world.legal(at.states.take(rows))
        probability, allowed = np.zeros(board[rows].shape), np.zeros(board[rows].shape, bool)
        probability[:, square[named]], allowed[:, square[named]] = p[:, actions[named]], legal[:, named]
        return out | {"shown_probability": probability, "shown_legal": allowed}


def constant_accuracy(board: np.ndarray, half: np.ndarray, classes: int) -> float:
    """The share of squares that have the most frequent class of the square in the other half of the positions."""
    hits = []
    for fit in (half, ~half):
        count = np.stack([(board[fit] == k).sum(axis=0) for k in range(classes)])
        hits.append(board[~fit] == count.argmax(axis=0))
    return float(np.concatenate(hits).mean())


METRIC = BoardProbe()
