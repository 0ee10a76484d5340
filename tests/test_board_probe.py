"""The board probe: the readers of all squares against one discriminant a square, and what known models score."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from worldbench.baselines.options import GPTConfig
from worldbench.baselines.references import Oracle
from worldbench.baselines.untrained import make_untrained
from worldbench.core.eval_config import eval_config
from worldbench.envs.othello.config import OthelloConfig
from worldbench.envs.othello.world import OthelloWorld
from worldbench.figures import boards as figure
from worldbench.metrics.board_probe import METRIC, constant_accuracy, fit_readers
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.linear_probe import fit_discriminant

WORLD = OthelloWorld(OthelloConfig(size=4, opening=4))
SETTINGS = eval_config(board_documents=60)


def test_readers_are_the_discriminants_of_single_squares() -> None:
    rng = np.random.default_rng(0)
    board = rng.integers(0, 3, (500, 4))
    x = rng.normal(size=(500, 6)) + np.eye(6)[board[:, 0]] * 2 + np.eye(6)[3 + board[:, 1]]
    read = fit_readers(x, board, 3)(x)
    for square in range(4):
        one = fit_discriminant(x, board[:, square], 3)(x).argmax(axis=1)
        assert (read[:, square] == one).mean() > 0.995


def test_a_class_that_does_not_occur_is_never_read() -> None:
    rng = np.random.default_rng(1)
    board = np.stack([rng.integers(0, 2, 100), np.full(100, 2)], axis=1)
    read = fit_readers(rng.normal(size=(100, 3)), board, 3)(rng.normal(size=(50, 3)))
    assert set(np.unique(read[:, 0])) <= {0, 1}
    assert (read[:, 1] == 2).all()


def test_the_most_frequent_class() -> None:
    board = np.array([[0, 1], [0, 1], [0, 2], [1, 1]])
    assert constant_accuracy(board, np.array([True, False, True, False]), 3) == pytest.approx(6 / 8)


def test_the_exact_state_holds_the_board_and_an_untrained_network_does_not() -> None:
    exact = METRIC.measure(Evaluation(WORLD, Oracle(WORLD), SETTINGS)).scores
    assert exact["mover"].value == exact["color"].value == 1
    assert exact["mover"].interval is not None
    assert exact["mover"].interval[0] < 1
    plain = METRIC.measure(Evaluation(WORLD, make_untrained(WORLD, GPTConfig(layers=1, width=16)), SETTINGS))
    assert 0.4 < plain.scores["mover"].value < 0.95
    assert set(plain.scores) == {f"{v}{c}" for v in ("mover", "color") for c in ("", "_untrained", "_constant")}
    assert plain.series["by_layer"]["mover"][-1] == pytest.approx(plain.scores["mover"].value)


def test_the_figure_is_drawn_from_its_arrays(tmp_path: Path) -> None:
    report = METRIC.measure(Evaluation(WORLD, Oracle(WORLD), SETTINGS))
    np.savez(tmp_path / "board_probe.npz", **report.arrays)
    paths = figure.draw(tmp_path / "board_probe.npz", tmp_path / "boards", title="a title")
    assert {p.suffix for p in paths} >= {".png", ".svg", ".csv"}
    assert len((tmp_path / "boards.csv").read_text().splitlines()) == 1 + 6 * 16
    legal, p = report.arrays["shown_legal"], report.arrays["shown_probability"]
    assert np.allclose(np.where(legal, 0, p), 0, atol=1e-6)
