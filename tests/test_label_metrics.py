"""Label accuracy and label structure, on models whose answers are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldbench.baselines.references import Oracle, Uniform
from worldbench.core.eval_config import eval_config
from worldbench.envs.group.config import GroupConfig
from worldbench.envs.group.world import FIRST, GroupWorld
from worldbench.envs.path_star.config import PathStarConfig
from worldbench.envs.path_star.world import PathStarWorld
from worldbench.figures import label_accuracy as figure
from worldbench.metrics import label_accuracy, label_structure
from worldbench.metrics.evaluation import Evaluation

SETTINGS = eval_config(documents=80, structure_trials=80)
WORLD = GroupWorld(GroupConfig(group="S3", length=5, test_length=12))


class Labels:
    """A model that gives a label by its rule: (elements int [N, T], places) -> labels int [N, T]."""

    name = "labels"

    def __init__(self, rule: Any) -> None:
        self.rule = rule

    def logits(self, tokens: np.ndarray) -> np.ndarray:
        labels = self.rule(np.clip(tokens[:, 1:] - FIRST, 0, WORLD.size - 1))
        labels = np.concatenate([np.zeros((len(tokens), 1), np.int64), labels], axis=1)
        return np.eye(len(WORLD.vocabulary), dtype=np.float32)[labels + FIRST]


def products(elements: np.ndarray) -> np.ndarray:
    return WORLD.products(elements.astype(np.int64))


def only_six(elements: np.ndarray) -> np.ndarray:
    """Right for six elements, then always the identity."""
    out = products(elements).copy()
    out[:, 6:] = 0
    return out


def values(metric: Any, model: Any) -> dict[str, float]:
    scores = metric.METRIC.measure(Evaluation(WORLD, model, SETTINGS)).scores
    return {name: score.value for name, score in scores.items()}


def test_accuracy_by_place() -> None:
    exact = values(label_accuracy, Labels(products))
    assert exact == {"accuracy": 1, "last": 1, "all_right": 1, "within": 1, "beyond": 1, "reach": 12}
    short = values(label_accuracy, Labels(only_six))
    assert (short["within"], short["reach"], short["all_right"]) == (1, 6, 0)
    assert 1 / 7 < short["beyond"] < 0.5
    last = values(label_accuracy, Labels(lambda elements: elements))
    assert last["reach"] == 1


def test_structure_of_right_and_of_wrong_models() -> None:
    assert set(values(label_structure, Labels(products)).values()) == {1}
    short = values(label_structure, Labels(only_six))
    assert (short["compression"], short["distinction"]) == (1, 1)
    assert short["distinction_beyond"] < 0.9
    memory = values(label_structure, Labels(lambda e: np.cumsum(e, axis=1) % WORLD.size))
    assert memory["compression"] < 0.5
    constant = values(label_structure, Labels(np.zeros_like))
    assert (constant["compression"], constant["distinction"]) == (1, 0)


def test_where_tokens_are_asked_for_neither_applies() -> None:
    w = PathStarWorld(PathStarConfig(arms=2, length=3, labels=9))
    for metric in (label_accuracy, label_structure):
        assert "asks for the next token" in str(metric.METRIC.not_in(w))
        assert metric.METRIC.not_applicable(w, Uniform(w)) is not None


def test_documents_as_long_as_those_of_training() -> None:
    w = PathStarWorld(PathStarConfig(arms=2, length=3, labels=9, form="teacherless"))
    scores = label_accuracy.METRIC.measure(Evaluation(w, Oracle(w), SETTINGS)).scores
    assert scores["all_right"].value == 1
    assert "as long as those of training" in scores["beyond"].reason


def test_the_figure_is_drawn_from_its_arrays(tmp_path: Path) -> None:
    report = label_accuracy.METRIC.measure(Evaluation(WORLD, Oracle(WORLD), SETTINGS))
    np.savez(tmp_path / "label_accuracy.npz", **report.arrays)
    paths = figure.draw(tmp_path / "label_accuracy.npz", tmp_path / "labels", title="a title")
    assert {p.suffix for p in paths} >= {".png", ".svg", ".csv"}
    assert len((tmp_path / "labels.csv").read_text().splitlines()) == 13


@pytest.mark.parametrize("metric", [label_accuracy, label_structure])
def test_the_world_of_the_metric_keeps_its_statements(metric: Any) -> None:
    for model in (Oracle(WORLD), Uniform(WORLD)):
        scores = metric.METRIC.measure(Evaluation(WORLD, model, SETTINGS)).scores
        assert all(e.met_by(scores[e.score].value) for e in metric.METRIC.expects[model.name])
