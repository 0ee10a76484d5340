"""The component of a mixture: a part of the state that no token changes, tested on its own."""

from __future__ import annotations

import numpy as np
import pytest
from test_probes import Features

from worldbench.baselines.from_states import FromStates
from worldbench.baselines.references import Oracle
from worldbench.core import streams
from worldbench.core.abilities import HasComponents, HasGoals
from worldbench.core.eval_config import eval_config
from worldbench.envs.hmm.config import HMMConfig
from worldbench.envs.hmm.library import named
from worldbench.envs.hmm.world import HMM, HMMStates
from worldbench.metrics import belief_probe, split_merge
from worldbench.metrics.component_pairs import ALIKE, APART, component_pairs, inside
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.prefix_pairs import prefix_pool

MIXED = HMM(HMMConfig(process="mixture(0.4*mess3, 0.6*mess3(x=0.15, a=0.6))", length=12))


class Blind(FromStates):
    """The law with the components always as probable as at the start: it follows the state inside each component."""

    name = "blind to the component"

    def answer_law(self, states: HMMStates) -> np.ndarray:
        prior = self.world.components(self.world.process.start[None])[:, self.world.component_of_entry()]
        return self.world.process.law(inside(self.world, states.belief) * prior)


def test_components_of_worlds() -> None:
    assert isinstance(MIXED, HasComponents)
    assert not isinstance(MIXED, HasGoals)
    assert MIXED.component_of_entry().tolist() == [0, 0, 0, 1, 1, 1]
    assert HMM(HMMConfig(process="rrxor")).component_of_entry().max() == 0
    walk = HMM(HMMConfig(process="mixture(bloch_walk, product(coin, coin))"))
    assert walk.components(np.eye(4)).tolist() == [[1, 0], [0, 0], [0, 0], [0, 1]]  # phi of a Bloch walk is (1, 0, 0)


@pytest.mark.parametrize(
    "spec", ["mixture(0.4*mess3, 0.6*mess3(a=0.6))", "mixture(0.2*bloch_walk, 0.8*product(coin, coin(p=0.3)))"]
)
def test_the_component_is_found_by_bayes(spec: str) -> None:
    parts = [named(p.partition("*")[2]) for p in spec.removeprefix("mixture(").removesuffix(")").split(", ", 1)]
    world = HMM(HMMConfig(process=spec))
    tokens = world.process.sample(streams.uniform(0, 50, 8, "bayes", spec)).astype(int)
    weight = np.array([float(w.split("*")[0]) for w in spec.removeprefix("mixture(").split(", ", 1)])
    joint = weight * np.exp(np.stack([p.log_probability(tokens) for p in parts], axis=1))
    found = world.components(world.process.beliefs(tokens)[:, -1])
    assert found == pytest.approx(joint / joint.sum(1, keepdims=True), abs=1e-9)
    own = inside(world, world.process.beliefs(tokens)[:, -1])[:, : parts[0].n_states]
    assert own == pytest.approx(parts[0].beliefs(tokens)[:, -1], abs=1e-9)


def test_pairs_differ_in_the_component_alone() -> None:
    pool, *_ = prefix_pool(MIXED, 0)
    pairs = component_pairs(MIXED, pool, 0)
    assert pairs is not None
    assert len(pairs) > 500
    belief = MIXED.beliefs(MIXED.after(pool))
    own = inside(MIXED, belief)
    assert np.abs(own[pairs[:, 0]] - own[pairs[:, 1]]).max() <= ALIKE
    component = MIXED.components(belief)
    assert np.abs(component[pairs[:, 0]] - component[pairs[:, 1]]).max(axis=1).min() >= APART
    assert component_pairs(HMM(HMMConfig(process="rrxor")), prefix_pool(HMM(), 0)[0], 0) is None


@pytest.mark.slow
def test_the_probe_of_the_component() -> None:
    settings = eval_config(probe_documents=400)
    exact = belief_probe.METRIC.measure(Evaluation(MIXED, Oracle(MIXED), settings)).scores
    assert all(e.met_by(exact[e.score].value) for e in belief_probe.METRIC.expects["oracle"] if e.score in exact)
    assert exact["component_r2"].value > 0.9999
    assert exact["component_r2_shuffled"].value < 0.2

    def inside_of(prefix: tuple[int, ...]) -> np.ndarray:
        belief = MIXED.process.beliefs(np.array([prefix[1:]], int).reshape(1, -1) - 2)[0, -1]
        return inside(MIXED, belief[None])[0]

    blind = belief_probe.METRIC.measure(Evaluation(MIXED, Features(MIXED, inside_of), eval_config(probe_documents=60)))
    assert blind.scores["component_r2"].value < 0.3 < 0.5 < blind.scores["r2"].value
    lookup = blind.series["lookup"]
    assert len(lookup["component_r2"]) == len(lookup["r2"])
    plain = belief_probe.METRIC.measure(Evaluation(HMM(), Oracle(HMM()), settings))
    assert not any(k.startswith("component") for k in (*plain.scores, *plain.series["lookup"]))
    same = HMM(HMMConfig(process="mixture(coin, coin)", length=6))  # nothing to learn about the component
    assert "component_r2" not in belief_probe.METRIC.measure(Evaluation(same, Oracle(same), settings)).scores


def test_split_over_pairs_that_differ_in_the_component() -> None:
    settings = eval_config(pairs=150)
    exact = split_merge.METRIC.measure(Evaluation(MIXED, Oracle(MIXED), settings)).scores
    assert exact["split_component"].value == pytest.approx(1, abs=1e-6)
    blind = split_merge.METRIC.measure(Evaluation(MIXED, Blind(MIXED), settings)).scores
    assert blind["split_component"].value < 0.1 < 0.5 < blind["split"].value
    plain = split_merge.METRIC.measure(Evaluation(HMM(), Oracle(HMM()), settings)).scores["split_component"]
    assert "single component" in plain.reason
    phases = HMM(HMMConfig(process="product(z1r, z1r)"))  # the components are known as soon as the states inside are
    known = split_merge.METRIC.measure(Evaluation(phases, Oracle(phases), settings)).scores["split_component"]
    assert "differ in the component alone" in known.reason
