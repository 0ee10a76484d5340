"""The kinds of damage of the reference `corrupted` that concern the goal and the law: wrong_goal, blind, late, forgets,
temperature, leak."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from worldbench.baselines import prefixes
from worldbench.baselines.corrupted import Corrupted
from worldbench.baselines.corrupted_config import CorruptedConfig
from worldbench.baselines.damaged_laws import leaking, tempered, uniform_over
from worldbench.baselines.references import Oracle
from worldbench.core.abilities import Able
from worldbench.core.errors import InputError
from worldbench.core.hashing import extended
from worldbench.core.model import log_softmax
from worldbench.core.world import Automaton
from worldbench.envs.hmm.config import HMMConfig
from worldbench.envs.hmm.world import HMM
from worldbench.envs.maze.solve import SolveWorld
from worldbench.envs.maze.solve_config import SolveConfig
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.metrics.evaluation import truth

WORLDS: dict[str, Automaton] = {
    "taxi": TaxiWorld(TaxiConfig(map="city:40", min_moves=3, max_moves=16)),
    "maze-solve": SolveWorld(SolveConfig(rows=3)),
    "hmm": HMM(HMMConfig(process="rrxor", length=9)),
}


def laws(world: Automaton, seed: int = 0, **damage: float) -> np.ndarray:
    """The model's distribution over the answers at each position of 40 documents, [N, T, A]; NaN where nothing is
    asked."""
    config = CorruptedConfig(**{"rewired": 0, "floor": 0.0, **damage})  # type: ignore[arg-type]
    documents = world.sample(3, "test", 0, 40)
    law = np.exp(log_softmax(Corrupted(world, config, seed).logits(documents.inputs)))
    law = law[..., list(world.vocabulary.answers)]
    law[~truth(world, documents).scored[:, 1:][:, : law.shape[1]]] = np.nan
    return law


def exact(world: Automaton) -> np.ndarray:
    return laws(world)


def position(law: np.ndarray) -> np.ndarray:
    """The number of tokens since the prompt, [N, T], at positions where something is asked."""
    return np.cumsum(np.isfinite(law[..., 0]), axis=1) - 1


@pytest.mark.parametrize("name", WORLDS)
def test_a_late_model_is_the_exact_model_one_token_earlier(name: str) -> None:
    world = WORLDS[name]
    true = exact(world)
    late = laws(world, late=1.0)
    asked = np.isfinite(true[..., 0])
    first = asked & (position(true) == 0)
    assert np.array_equal(late[first], true[first]), "after the prompt there is no earlier token"
    later = asked & (position(true) > 0)
    before = np.roll(true, 1, axis=1)
    assert np.array_equal(late[later], before[later])
    shares = []
    differs = np.zeros_like(asked)
    for share in (0.1, 0.4, 0.8):
        mixed = laws(world, late=share)
        now, then = np.all(mixed == true, axis=-1), np.all(mixed == late, axis=-1)
        assert np.logical_or(now, then)[asked].all()
        assert (differs <= ~now)[asked].all(), "a larger share contains the smaller one"
        differs = ~now & asked
        shares.append(differs[later].mean() / np.any(late != true, axis=-1)[later].mean())
    assert shares == pytest.approx([0.1, 0.4, 0.8], abs=0.15)
    assert not np.array_equal(laws(world, 1, late=0.4)[asked], laws(world, 0, late=0.4)[asked])


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize("size", [0.3, 0.8, 1.0])
def test_a_model_that_forgets_is_exact_first_and_uniform_then(name: str, size: float) -> None:
    world = WORLDS[name]
    true, forgot = exact(world), laws(world, forgets=size)
    asked, at = np.isfinite(true[..., 0]), position(true)
    early = at < (1 - size) * world.longest
    assert np.array_equal(forgot[asked & early], true[asked & early])
    assert forgot[asked & ~early] == pytest.approx(1 / true.shape[-1])
    assert (asked & ~early).any()


@pytest.mark.parametrize("name", WORLDS)
def test_leaking_spreads_a_share_over_the_illegal_tokens(name: str) -> None:
    world = WORLDS[name]
    true, leaky = exact(world), laws(world, leak=0.2)
    known = truth(world, world.sample(3, "test", 0, 40))
    legal = known.legal[:, 1:][:, : true.shape[1]]
    asked = np.isfinite(true[..., 0])
    partly = asked & ~legal.all(axis=-1)
    assert partly.any()
    wrong = np.where(legal, 0, leaky).sum(axis=-1)
    assert wrong[partly] == pytest.approx(0.2, abs=1e-6)
    assert np.where(legal, leaky, 0)[partly] == pytest.approx(0.8 * true[partly], abs=1e-6)
    full = asked & legal.all(axis=-1)
    assert np.array_equal(leaky[full], true[full])


GOALS = ["taxi", "maze-solve"]


@pytest.mark.parametrize("name", GOALS)
def test_a_share_of_the_prompts_has_another_goal_in_the_mind_of_the_model(name: str) -> None:
    world: Able = WORLDS[name]
    documents = world.sample(3, "test", 0, 300)
    wide = int(documents.prompt_length.max())
    first = world.start(documents.tokens[:, :wide], documents.prompt_length)
    misled: dict[float, np.ndarray] = {}
    for share in (0.1, 0.5, 1.0):
        model = Corrupted(world, CorruptedConfig(rewired=0, wrong_goal=share, floor=0.0), 1)
        states = model.start(documents.tokens[:, :wide], documents.prompt_length)
        goals = world.goals(states.own)
        misled[share] = goals != world.goals(first)
        assert misled[share].mean() == pytest.approx(share, abs=0.1)
        assert np.array_equal(model.answer_law(states), world.law(world.with_goals(first, goals)))
        again = model.start(documents.tokens[::-1, :wide], documents.prompt_length[::-1])
        assert np.array_equal(world.goals(again.own)[::-1], goals), "a function of the prompt alone"
    assert (misled[0.1] <= misled[0.5]).all()
    assert (misled[0.5] <= misled[1.0]).all()


@pytest.mark.parametrize("name", GOALS)
def test_a_blind_model_gives_the_law_without_the_goal(name: str) -> None:
    world: Able = WORLDS[name]
    documents = world.sample(3, "test", 0, 40)
    true, blind, half = exact(world), laws(world, blind=1.0), laws(world, blind=0.5)
    asked = np.isfinite(true[..., 0])
    assert half[asked] == pytest.approx((true[asked] + blind[asked]) / 2, abs=1e-6)
    assert abs(blind - true)[asked].max() > 0.3
    wide = int(documents.prompt_length.max())
    first = world.start(documents.tokens[:, :wide], documents.prompt_length)
    others = world.other_goals(first, np.full(40, 0.3))
    assert (others >= 0).all()
    after = world.blind_law(world.with_goals(first, others))
    assert blind[np.arange(40), documents.prompt_length - 1] == pytest.approx(after, abs=1e-6)


def test_laws_with_damage() -> None:
    law = np.array([[0.5, 0.25, 0.25, 0.0], [1.0, 0.0, 0.0, 0.0]])
    assert tempered(law, 2.0)[0] == pytest.approx(np.sqrt(law[0]) / np.sqrt(law[0]).sum())
    assert tempered(law, 0.01)[0] == pytest.approx([1, 0, 0, 0], abs=1e-12)
    assert np.array_equal(tempered(law, 3.0)[1], law[1])
    legal = np.array([[True, True, False, False], [False] * 4])
    assert leaking(law, legal, 0.5)[0] == pytest.approx([0.25, 0.125, 0.375, 0.25])
    assert np.array_equal(leaking(law, legal, 0.5)[1], law[1])
    assert np.array_equal(uniform_over(legal), [[0.5, 0.5, 0, 0], [0.25] * 4])
    u = prefixes.uniforms(extended(np.arange(4000, dtype=np.uint64), np.arange(4000)), 2)
    assert u.min() > 0
    assert u.max() < 1
    assert u.mean(axis=0) == pytest.approx([0.5, 0.5], abs=0.02)


@pytest.mark.parametrize("name", WORLDS)
def test_damage_decodes_as_it_scores(name: str) -> None:
    """Token by token and with rows chosen again, as the metrics do, all kinds together."""
    world = WORLDS[name]
    config = CorruptedConfig(rewired=0, late=0.5, forgets=0.6, leak=0.1, temperature=1.5, noise=0.2)
    model = Corrupted(world, config, 2)
    documents = world.sample(3, "test", 0, 12)
    whole = model.logits(documents.inputs)
    n, prompt = np.arange(12), documents.prompt_length.astype(int)
    decoder = model.decoder(documents.tokens, prompt)
    assert np.array_equal(decoder.logits, whole[n, prompt - 1])
    rows = n[documents.input_length >= prompt + 3]
    decoder.select(rows)
    for t in range(3):
        decoder.extend(documents.tokens[rows, prompt[rows] + t][:, None])
        assert np.array_equal(decoder.logits, whole[rows, prompt[rows] + t])
    assert not np.array_equal(decoder.logits, Oracle(world).logits(documents.inputs)[rows, prompt[rows] + 2])


def test_impossible_sizes_are_refused() -> None:
    for name in ("wrong_goal", "blind", "late", "forgets", "leak"):
        for value in (-0.1, 1.1, float("nan")):
            with pytest.raises(InputError, match=name):
                CorruptedConfig(**{name: value})
    for value in (0.0, -1.0, float("inf")):
        with pytest.raises(InputError, match="temperature"):
            CorruptedConfig(temperature=value)
    for kind in ("wrong_goal", "blind"):
        with pytest.raises(InputError, match="have no goal"):
            Corrupted(WORLDS["hmm"], CorruptedConfig(**{"rewired": 0, kind: 0.5}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"noise": 0.5}, "no map to damage, and model.rewired is 4 (the default); add --model.rewired 0"),
        (
            {"deleted": 2, "rewired": 1},
            "model.deleted is 2 and model.rewired is 1; add --model.deleted 0 --model.rewired 0",
        ),
    ],
)
def test_a_world_without_a_map_names_the_option_that_matters(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        Corrupted(WORLDS["hmm"], CorruptedConfig(**options))
