"""Pairs of prefixes that only the goal tells apart, and models that use the wrong goal, or none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_calibration import OnStates

from worldbench.baselines.corrupted import Corrupted
from worldbench.baselines.corrupted_config import CorruptedConfig
from worldbench.baselines.references import Oracle, RandomLegal, Uniform
from worldbench.core.abilities import HasGoals
from worldbench.core.eval_config import eval_config
from worldbench.core.model import SequenceModel
from worldbench.core.registry import metrics
from worldbench.core.streams import uniform
from worldbench.core.world import World
from worldbench.envs.hmm.config import HMMConfig
from worldbench.envs.hmm.world import HMM
from worldbench.envs.maze.solve import SolveWorld
from worldbench.envs.maze.solve_config import SolveConfig
from worldbench.envs.maze.text_format import FIRST_CELL
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.goal_pairs import goal_pairs
from worldbench.metrics.solved_paths import true_paths


def taxi() -> TaxiWorld:
    return TaxiWorld(TaxiConfig(map="city:24", min_moves=2, max_moves=9))


def wrong(world: World) -> SequenceModel:
    """The exact law on the way to another place."""
    n = world.graph().n_places
    return OnStates(world, lambda w, s: w.law(w.with_goals(s, (w.goals(s) + 1 + n // 3) % n)), "wrong")


def blind(world: World) -> SequenceModel:
    return OnStates(world, lambda w, s: w.blind_law(s), "blind")


@pytest.mark.parametrize("make", [taxi, lambda: SolveWorld(SolveConfig(rows=4))], ids=["taxi", "maze-solve"])
@pytest.mark.parametrize("near", [None, 3])
def test_pairs_differ_in_the_goal_alone(make: Callable[[], Any], near: int | None) -> None:
    world = make()
    documents = world.sample(0, "test", 0, 200)
    first, second = goal_pairs(world, 0, 200, "x", near)
    assert 100 < len(first) <= 200
    a, b = world.after(first), world.after(second)
    assert (world.goals(a) != world.goals(b)).all()
    assert np.array_equal(world.key(world.with_goals(a, world.goals(b)))[1], world.key(b)[1])
    assert ((first.tokens != second.tokens).sum(axis=1) == 1).all()
    whole = {tuple(t[:n]): n for t, n in zip(documents.tokens, documents.length)}
    left = []
    for tokens, length, prompt in zip(first.tokens, first.length, first.prompt_length):
        whole_lengths = [n for t, n in whole.items() if t[:length] == tuple(tokens[:length])]
        assert length >= prompt
        left.append(min(n - length for n in whole_lengths))
    assert min(left) == 1
    assert max(left) == 3 if near else max(left) > 3


def test_distinction_sees_the_goal() -> None:
    world = taxi()
    assert isinstance(world, HasGoals)
    metric, settings = metrics["sequence_distinction"].load(), eval_config(structure_trials=100, suffixes=10)
    found = {
        model.name: metric.measure(Evaluation(world, model, settings)).scores
        for model in (Oracle(world), wrong(world), blind(world), RandomLegal(world), Uniform(world))
    }
    recall = {name: scores["recall_same_place_law"].value for name, scores in found.items()}
    assert recall["oracle"] == 1
    assert recall["blind"] == recall["uniform"] == 0
    assert recall["wrong"] < 0.2
    assert found["wrong"]["recall_law"].value > 0.7  # random pairs are at two places, so the place tells them apart
    assert found["wrong"]["recall_same_place_map"].value == 0
    assert found["random-legal"]["recall_same_place_map"].value == 1
    assert found["random-legal"]["recall_same_place_law"].value < 0.6
    assert found["oracle"]["precision_same_place_law"].value == 1
    assert np.isnan(found["blind"]["precision_same_place_law"].value)
    assert found["oracle"]["recall_same_place_law"].over == "pairs"


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(taxi, id="taxi"),
        pytest.param(lambda: SolveWorld(SolveConfig(rows=3)), id="maze-solve", marks=pytest.mark.slow),
    ],
)
def test_split_sees_the_goal(make: Callable[[], Any]) -> None:
    world = make()
    metric, settings = metrics["split_merge"].load(), eval_config(pairs=80, suffix_limit=256)
    reports = {
        model.name: metric.measure(Evaluation(world, model, settings))
        for model in (Oracle(world), blind(world), RandomLegal(world), Uniform(world))
    }
    split = {name: report.scores["split_same_place"].value for name, report in reports.items()}
    assert split["oracle"] == pytest.approx(1, abs=1e-6)
    assert split["blind"] == pytest.approx(0, abs=1e-9)
    assert split["uniform"] == pytest.approx(0, abs=1e-9)
    assert split["random-legal"] < 0.95
    assert reports["blind"].scores["split"].value > 0.7  # random pairs are at two places
    for report in reports.values():
        assert report.scores["split_strict"] == report.scores["split_same_place"]
        assert report.notes[0] == "split_strict is split_same_place here"


def test_worlds_without_goals_have_a_strictest_split_too() -> None:
    metric, settings = metrics["split_merge"].load(), eval_config(pairs=30)
    for process, strictest in (("rrxor", "split_aliased"), ("z1r", "split")):
        world = HMM(HMMConfig(process=process, length=8))
        report = metric.measure(Evaluation(world, Oracle(world), settings))
        assert report.scores["split_strict"] == report.scores[strictest]
        assert "split_strict is " + strictest + " here" in report.notes
        assert report.scores["split_same_place"].reason == "the documents of the world 'hmm' have no goal"
    assert "aliased pairs among 20,000 prefixes" in report.scores["split_aliased"].reason


@pytest.mark.slow
def test_minimal_pairs_of_targets_literally() -> None:
    """One pair and one step at a time, from whole rows of logits."""
    world = SolveWorld(SolveConfig(rows=4, generator="depth-first-percolation", percolation=0.3))
    metric, settings = metrics["minimal_pairs"].load(), eval_config(structure_trials=40)
    lost = Corrupted(world, CorruptedConfig(rewired=2, wrong_goal=0.3), 0)
    prompts, lengths = world.prompts(0, 40)
    goals = world.other_goals(
        world.start(prompts, lengths), uniform(0, 40, 1, "evaluation", 0, "minimal pairs goals")[:, 0]
    )
    path, _, _ = true_paths(world, prompts, lengths, 0)
    for model in (Oracle(world), lost, blind(world), RandomLegal(world)):
        report = metric.measure(Evaluation(world, model, settings))
        hits = []
        for i in range(40):
            one = prompts[i, : lengths[i]].tolist()
            two = [*one[:-3], goals[i] + FIRST_CELL, *one[-2:]]
            for step in range(path.shape[1]):
                rows = [np.array([[*row, *path[i, :step]]]) for row in (one, two)]
                laws = [next_law(world, row, len(one)) for row in rows]
                if laws[1][path[i, step]] == 0:
                    top = [int(model.logits(row)[0, -1].argmax()) for row in rows]
                    if not ((laws[0] > 0) & (laws[1] > 0)).any():
                        hits.append(all(law[token] > 0 for law, token in zip(laws, top)))
                    break
        score = report.scores["recall_goal"]
        assert (score.value, score.n) == (pytest.approx(np.mean(hits)), len(hits))
        assert len(hits) > 20
        if model.name in ("oracle", "blind"):
            assert score.value == (model.name == "oracle")


def next_law(world: World, row: np.ndarray, prompt: int) -> np.ndarray:
    """The exact law after one row of tokens, over the vocabulary."""
    states = world.start(row[:, :prompt], np.array([prompt]))
    for token in row[0, prompt:]:
        states = world.step(states, np.array([token]))
    out = np.zeros(len(world.vocabulary))
    out[list(world.vocabulary.actions)] = world.law(states)[0]
    return out
