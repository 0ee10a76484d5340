"""Scores that are ratios, where their denominator vanishes: missing with a reason, and never a huge number."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from worldbench.baselines.options import GPTConfig
from worldbench.baselines.references import Oracle
from worldbench.baselines.untrained import make_untrained
from worldbench.core.eval_config import eval_config
from worldbench.core.registry import metrics
from worldbench.envs.hmm.config import HMMConfig
from worldbench.envs.hmm.world import HMM
from worldbench.metrics.effective_rank import METRIC as EFFECTIVE_RANK
from worldbench.metrics.evaluation import Evaluation

SETTINGS = eval_config(
    documents=40, pairs=40, probe_documents=60, dynamics_documents=20, dynamics_steps=4, horizon=3, rank_tokens=200
)


def process(folder: Path, *moves: list[list[float]]) -> HMM:
    """Two hidden states that emit alike: the law of the next token is always the same. moves[x]: how the hidden state
    moves with token x."""
    file = folder / "alike.json"
    file.write_text(json.dumps({"transition": [(p * np.array(m)).tolist() for p, m in zip((0.7, 0.3), moves)]}))
    return HMM(HMMConfig(process=str(file), length=8))


@pytest.mark.parametrize("varies", [True, False])
@pytest.mark.parametrize("kind", ["oracle", "untrained"])
def test_a_law_that_never_changes(tmp_path: Path, varies: bool, kind: str) -> None:
    """The belief may vary although the law does not. `split` once was -6e29."""
    move = [[0.6, 0.4], [0.3, 0.7]]
    world = process(tmp_path, move, [[0.1, 0.9], [0.8, 0.2]] if varies else move)
    model = Oracle(world) if kind == "oracle" else make_untrained(world, GPTConfig(layers=1, heads=2, width=16), 0)
    evaluation, missing = Evaluation(world, model, SETTINGS), set()
    for entry in metrics:
        metric = entry.load()
        if metric.not_applicable(world, model) is None:
            for name, score in metric.measure(evaluation).scores.items():
                if np.isnan(score.value):
                    missing.add(f"{metric.name}.{name}")
                    assert score.reason, (metric.name, name)
                else:
                    assert abs(score.value) < 1e3, (metric.name, name, score)
    assert missing >= {"split_merge.split_strict", "transition_consistency.normalized", "transition_consistency.kept"}
    assert ("belief_probe.r2" in missing) == (not varies)
    assert "belief_probe.distance_corr_law" in missing


class Constant(Oracle):
    """Its hidden state is the same everywhere."""

    value = 0.3

    def hidden(self, tokens: np.ndarray) -> np.ndarray:
        return np.full((*tokens.shape, 5), self.value, np.float32)


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_hidden_states_that_never_change_have_no_rank(value: float) -> None:
    """Centered, they once had the rank of their rounding errors."""
    world = HMM(HMMConfig(process="mess3", length=8))
    model = Constant(world)
    model.value = value
    scores = EFFECTIVE_RANK.measure(Evaluation(world, model, SETTINGS)).scores
    for name in ("rank_centered", "participation_ratio"):
        assert "are the same at every position: they spread over no direction" in scores[name].reason
    assert ("are all 0" in scores["rank"].reason) == (value == 0)
    assert value == 0 or scores["rank"].value == pytest.approx(1)
