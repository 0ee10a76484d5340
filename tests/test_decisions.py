"""The metric decisions: planning apart from following."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from worldbench.baselines.references import Oracle, RandomLegal
from worldbench.core.eval_config import eval_config
from worldbench.core.registry import worlds
from worldbench.envs.path_star.config import PathStarConfig
from worldbench.envs.path_star.world import PathStarWorld
from worldbench.figures import decisions as figure
from worldbench.metrics.decisions import METRIC, blind_chance
from worldbench.metrics.evaluation import Evaluation

SETTINGS = eval_config(documents=200)


def star(form: str = "path") -> PathStarWorld:
    return PathStarWorld(PathStarConfig(arms=4, length=4, labels=20, form=form))  # type: ignore[arg-type]


def test_the_one_decision_of_a_star_is_its_first_step() -> None:
    w = star()
    report = METRIC.measure(Evaluation(w, RandomLegal(w), SETTINGS))
    scores = {name: score.value for name, score in report.scores.items()}
    assert scores["chance"] == 0.25
    assert abs(scores["accuracy"] - 0.25) < 0.12
    assert scores["elsewhere"] == 1
    assert scores["all_right"] == scores["accuracy"]
    assert scores["solved"] == 0
    assert report.series["by_position"]["decisions"] == [0, 1, 0, 0, 0]
    assert report.series["by_position"]["chance"] == [1, 0.25, 1, 1, 1]


@pytest.mark.parametrize("form", ["path", "reversed", "teacherless"])
def test_the_law_is_right_everywhere(form: str) -> None:
    w = star(form)
    scores = METRIC.measure(Evaluation(w, Oracle(w), SETTINGS)).scores
    assert {name: s.value for name, s in scores.items() if name != "chance"} == dict.fromkeys(
        ("elsewhere", "all_right", "accuracy", "solved"), 1.0
    )
    assert scores["chance"].value == pytest.approx(0.25)


def test_a_world_without_decisions_says_so() -> None:
    entry = worlds["maze"]
    w = entry.load()(entry.load_config()(rows=4, columns=4, generator="depth-first-percolation"))
    score = METRIC.measure(Evaluation(w, Oracle(w), eval_config(documents=30))).scores["accuracy"]
    assert np.isnan(score.value)
    assert "hold a decision" in score.reason


def test_the_chance_of_a_blind_reader() -> None:
    law = np.array([[1.0, 0, 0], [0, 1.0, 0], [0.5, 0.5, 0], [0, 0, 1.0]])
    blind = np.array([[0.5, 0.5, 0], [0.6, 0.4, 0], [0.4, 0.4, 0.2], [0, 0, 1.0]])
    assert blind_chance(law, blind).tolist() == [0.5, 0, 1, 1]


def test_the_figure_is_drawn_from_its_arrays(tmp_path: Path) -> None:
    w = star()
    report = METRIC.measure(Evaluation(w, Oracle(w), SETTINGS))
    np.savez(tmp_path / "decisions.npz", **report.arrays)
    paths = figure.draw(tmp_path / "decisions.npz", tmp_path / "decisions", title="a title")
    assert {p.suffix for p in paths} >= {".png", ".svg", ".csv"}
    assert (tmp_path / "decisions.csv").read_text().splitlines()[2].startswith("1,")
