"""Transition consistency and the state swap against literal readings, one position at a time."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from small_maps import small_map

from worldbench.baselines import dynamics
from worldbench.baselines.blurred import Blurred
from worldbench.baselines.gpt import GPT
from worldbench.baselines.nextlat import NextLat
from worldbench.baselines.options import GPTConfig, NextLatConfig
from worldbench.baselines.references import Oracle
from worldbench.baselines.trained import TrainedModel
from worldbench.core import streams
from worldbench.core.eval_config import eval_config
from worldbench.core.model import ALL_LAYERS, log_softmax
from worldbench.core.world import Documents
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.metrics import state_swap, transition_consistency
from worldbench.metrics.acceptance import draw_pairs
from worldbench.metrics.evaluation import Evaluation, truth
from worldbench.metrics.state_swap import change, continued, futures
from worldbench.metrics.transition_consistency import FLOOR, STARTS, SUMMED, Copy, Linear, law_kl

SETTINGS = eval_config(documents=12, dynamics_documents=15, dynamics_steps=12, horizon=10, swap_pairs=10, swap_tokens=3)


@pytest.fixture(scope="module")
def world() -> TaxiWorld:
    return TaxiWorld(TaxiConfig(min_moves=2, max_moves=13), small_map(9, 3, extra=9))


def network(world: TaxiWorld, model: type[GPT] | type[NextLat] = GPT, seed: int = 5) -> TrainedModel:
    """Weights far from their small beginnings, so that attention matters and laws differ."""
    config = (NextLatConfig if model is NextLat else GPTConfig)(layers=2, heads=2, width=16)
    objective = model(config, len(world.vocabulary), world.context, seed)
    with torch.no_grad():
        for p in objective.parameters():
            p.mul_(4)
    return TrainedModel(objective)


def literal_kl(law: np.ndarray, logits: np.ndarray, actions: tuple[int, ...]) -> float:
    z = logits.astype(float)
    log_p = z - z.max() - np.log(np.exp(z - z.max()).sum())
    return sum(p * (np.log(p) - max(log_p[a], FLOOR)) for p, a in zip(law, actions) if p > 0)


def _starts(documents: Documents, i: int, uniform: np.ndarray) -> list[int]:
    n, p = int(documents.length[i]), int(documents.prompt_length[i])
    return sorted({int(p + u * (n - p)) for u in uniform})


def drifting(world: TaxiWorld) -> Blurred:
    """It predicts exactly, and the states that its dynamics and a swap make are noisy."""
    return Blurred(world, 0.2, 1, made=True)


@pytest.mark.parametrize("kind", ["gpt", "nextlat", "drifting"])
def test_curves_are_literal(world: TaxiWorld, kind: str) -> None:
    model = drifting(world) if kind == "drifting" else network(world, NextLat if kind == "nextlat" else GPT)
    report = transition_consistency.METRIC.measure(Evaluation(world, model, SETTINGS))
    documents = world.sample(0, "test", 0, 12)
    known = truth(world, documents)
    spare = world.sample(0, "test", 12, 15)
    own = model.dynamics()
    assert (own is not None) == (kind != "gpt")
    rng = streams.generator("evaluation", 0, "transition strangers")
    rolled = {
        "copy": Copy(),
        "linear": Linear.fit(world, model, spare),
        "posthoc": model.fit_dynamics(spare, 12, 0),
    } | ({"own": own} if own else {})
    uniform = streams.uniform(0, 12, STARTS, "evaluation", 0, "transition starts")
    kl: dict[str, dict[int, list[float]]] = {name: {} for name in ("direct", *rolled)}
    laws = []
    for i in range(12):
        n = int(documents.length[i])
        for t in _starts(documents, i, uniform[i]):  # t: how many tokens have been read
            state = dict.fromkeys(rolled, model.hidden(documents.tokens[i : i + 1, :t])[:, -1])
            for step in range(1, 11):
                if t + step >= n:
                    break
                token = documents.tokens[i, t + step - 1 : t + step]
                state = {name: d.step(state[name], token) for name, d in rolled.items()}
                if step <= SUMMED:
                    laws.append(known.law[i, t + step])
                state["direct"] = model.hidden(documents.tokens[i : i + 1, : t + step])[:, -1]
                for name, h in state.items():
                    kl[name].setdefault(step, []).append(
                        literal_kl(known.law[i, t + step], model.head(h, token)[0], world.vocabulary.actions)
                    )
                del state["direct"]
    curves = report.series["by_step"]
    assert curves["step"] == list(kl["copy"])
    assert curves["n"] == [len(v) for v in kl["copy"].values()]
    for name in kl:
        assert curves[name] == pytest.approx([np.mean(v) for v in kl[name].values()], rel=1e-4, abs=1e-5)
    # Another document: at each step, the true hidden state that a permutation of the positions puts in its place.
    starts = [(i, t) for i in range(12) for t in _starts(documents, i, uniform[i])]
    kl["other_document"] = {}
    for step in curves["step"]:
        on = [(i, t + step) for i, t in starts if t + step < documents.length[i]]
        order = rng.permutation(len(on))
        for k, (i, t) in enumerate(on):
            j, s = on[order[k]]
            h = model.hidden(documents.tokens[j : j + 1, :s])[:, -1]
            kl["other_document"].setdefault(step, []).append(
                literal_kl(known.law[i, t], model.head(h, documents.tokens[i, t - 1 : t])[0], world.vocabulary.actions)
            )
    assert curves["other_document"] == pytest.approx([np.mean(v) for v in kl["other_document"].values()], rel=1e-4)
    total = {name: sum(sum(v) for step, v in steps.items() if step <= SUMMED) for name, steps in kl.items()}
    count = sum(len(v) for step, v in kl["copy"].items() if step <= SUMMED)
    assert report.scores["posthoc_excess"].value == pytest.approx(
        (total["posthoc"] - total["direct"]) / count, rel=1e-3, abs=1e-5
    )
    assert report.scores["direct_kl"].value == pytest.approx(total["direct"] / count, rel=1e-4)
    mean = np.log(np.mean(laws, axis=0))
    single = sum(literal_kl(law, mean, tuple(range(len(mean)))) for law in laws) / count
    assert report.scores["single_law_kl"].value == pytest.approx(single, rel=1e-6)
    scores = [report.scores[key] for key in ("normalized", "normalized_linear")]
    if kind == "drifting":
        gain = total["other_document"] - total["direct"]
        literal = [1 - (total[name] - total["direct"]) / gain for name in ("posthoc", "linear")]
        assert [score.value for score in scores] == pytest.approx(literal, rel=1e-6)
        assert literal[0] < 0.9
    else:
        assert total["direct"] / count > single
        assert all(np.isnan(score.value) and "no better than one law" in score.reason for score in scores)


def test_the_probe_is_the_same_every_time_and_leaves_the_model_alone(world: TaxiWorld) -> None:
    model, documents = network(world, NextLat), world.sample(0, "test", 0, 20)
    before = copy.deepcopy(model.objective.state_dict())
    state = torch.random.get_rng_state()
    h = model.hidden(documents.tokens[:, :-1])[:, 3]
    one, two, other = (model.fit_dynamics(documents, 20, s).step(h, documents.tokens[:, 4]) for s in (0, 0, 1))
    assert (one == two).all()
    assert (one != other).any()
    assert (torch.random.get_rng_state() == state).all()
    assert all((before[k] == v).all() for k, v in model.objective.state_dict().items())


@pytest.mark.slow
def test_the_probe_learns_a_transition_that_can_be_learnt(world: TaxiWorld) -> None:
    """The loss on other documents falls below the copy's and the best affine map's."""
    model, fitted = network(world), world.sample(0, "test", 0, 150)
    other = world.sample(0, "test", 150, 60)
    row, t = dynamics.neighbors(other)
    h = model.hidden(other.tokens[:, :-1])
    before, after, token = h[row, t], h[row, t + 1], other.tokens[row, t + 1]

    def error(predicted: np.ndarray) -> float:
        return float(((predicted - after) ** 2).sum() / ((after - after.mean(0)) ** 2).sum())

    posthoc = error(model.fit_dynamics(fitted, 600, 0).step(before, token))
    assert posthoc < 0.85 * error(Linear.fit(world, model, fitted).step(before, token)) < 0.85 * error(before)


def test_neighbours_are_inputs_of_one_document() -> None:
    documents = Documents(np.array([[5, 6, 2, 3, 1], [5, 6, 1, 0, 0]]), np.array([5, 3]), np.array([2, 2]))
    assert [x.tolist() for x in dynamics.neighbors(documents)] == [[0, 0], [1, 2]]


def test_kl_is_cut_off() -> None:
    law, logits = np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([[0.0, -np.inf, 0.0], [0.0, 0.0, 0.0]], np.float32)
    found = law_kl(law, logits, np.array([0, 1]))
    assert found == pytest.approx([0.5 * np.log(0.5 / 0.5) + 0.5 * (np.log(0.5) + np.log(1e9)), np.log(3)], abs=1e-6)


def test_the_exact_state_is_consistent(world: TaxiWorld) -> None:
    for kind in ("transition_consistency", "state_swap"):
        metric = {"transition_consistency": transition_consistency, "state_swap": state_swap}[kind].METRIC
        report = metric.measure(Evaluation(world, Oracle(world), SETTINGS))
        for e in metric.expects["oracle"]:
            assert e.met_by(report.scores[e.score].value), (kind, e.score, report.scores[e.score])


class Deaf(Oracle):
    """Its hidden state says where it stands and nothing of where it goes: laws read off it are those of another
    destination."""

    def decode(self, hidden: np.ndarray):
        states = super().decode(hidden)
        states.destination = (states.destination + 1) % len(self.world.graph().places)
        return states


def test_a_state_that_is_not_used_scores_low(world: TaxiWorld) -> None:
    report = transition_consistency.METRIC.measure(Evaluation(world, Deaf(world), SETTINGS))
    assert report.scores["direct_kl"].value > 0.1


def layerwise(model: TrainedModel, tokens: np.ndarray, replaced: dict[int, np.ndarray], at: int) -> np.ndarray:
    """Logits [T, V] of one row by torch's own pieces, with the outputs of layers at one position replaced: {layer:
    vector}."""
    trunk = model.objective.trunk
    x = model.objective.embed(torch.from_numpy(tokens[None].astype(np.int64)))
    turn = trunk.rotation(len(tokens), x.device)[: len(tokens), None]
    layers = [None, *trunk.blocks]
    with torch.no_grad():
        for i, block in enumerate(layers):
            x = x if block is None else block(x, turn, None, None, None)
            if i in replaced:
                x = x.clone()
                x[0, at] = torch.from_numpy(replaced[i])
        x = trunk.norm(x)
        if trunk.layers + 1 in replaced:
            x = x.clone()
            x[0, at] = torch.from_numpy(replaced[trunk.layers + 1])
        return model.objective.head(x)[0].numpy()


def test_a_swap_is_the_replacement_of_states_in_a_full_pass(world: TaxiWorld) -> None:
    model = network(world)
    pairs = draw_pairs(world, 0, 10, "swap", same=False)
    tokens, _, _ = futures(world, pairs.second, 3, streams.uniform(0, 10, 3, "t"))
    names = list(model.layers(pairs.first.tokens[:1]))
    assert names == ["embedding", "block 1", "block 2", model.hidden_name]
    given = model.layers(pairs.second.tokens)
    for layer in (*names, ALL_LAYERS):
        found = continued(model.swapped(pairs.first, pairs.second, layer), tokens)
        for i in range(len(pairs)):
            last = pairs.first.length[i] - 1
            whole = np.concatenate([pairs.first.tokens[i, : last + 1], tokens[i]])
            chosen = range(4) if layer == ALL_LAYERS else [names.index(layer)]
            literal = layerwise(model, whole, {j: given[names[j]][i, last] for j in chosen}, last)[last:]
            assert found[i] == pytest.approx(literal, abs=2e-4), (layer, i)


def test_swaps_with_oneself_change_nothing(world: TaxiWorld) -> None:
    model = network(world, NextLat)
    documents = draw_pairs(world, 0, 10, "swap", same=False).first
    tokens, _, _ = futures(world, documents, 3, streams.uniform(0, 10, 3, "t"))
    plain = continued(model.decoder(documents.tokens, documents.length), tokens)
    for layer in (*model.layers(documents.tokens[:1]), ALL_LAYERS):
        assert continued(model.swapped(documents, documents, layer), tokens) == pytest.approx(plain, abs=1e-4)


@pytest.mark.parametrize("kind", ["network", "drifting"])
def test_swap_scores_are_literal(world: TaxiWorld, kind: str) -> None:
    model = drifting(world) if kind == "drifting" else network(world, seed=2)
    report = state_swap.METRIC.measure(Evaluation(world, model, SETTINGS))
    pairs = draw_pairs(world, 0, 10, "swap", same=False)
    uniform = streams.uniform(0, 10, 3, "evaluation", 0, "swap futures")
    cost = {"a": 0.0, "b": 0.0, "swapped": 0.0}
    by_pair = {name: [] for name in cost}
    moved = count = 0.0
    for i in range(len(pairs)):
        one, other = (
            Documents(d.tokens[i : i + 1], d.length[i : i + 1], d.prompt_length[i : i + 1])
            for d in (pairs.first, pairs.second)
        )
        tokens, laws, open_ = futures(world, other, 3, uniform[i : i + 1])
        decoders = {
            "a": model.decoder(one.tokens, one.length),
            "b": model.decoder(other.tokens, other.length),
            "swapped": model.swapped(one, other, ALL_LAYERS),
        }
        logits = {name: continued(d, tokens)[0] for name, d in decoders.items()}
        before = dict(cost)
        for k in np.flatnonzero(open_[0]):
            for name in cost:
                cost[name] += literal_kl(laws[0, k], logits[name][k], world.vocabulary.actions)
            p, q = (np.maximum(log_softmax(logits[name][k]), FLOOR) for name in ("a", "swapped"))
            moved += float((np.exp(p) * (p - q)).sum())
            count += 1
        for name in cost:
            by_pair[name].append((cost[name] - before[name]) / open_[0].sum())
    gain, score = cost["a"] - cost["b"], report.scores["donor_law"]
    assert gain > 0
    if kind == "drifting":
        assert score.value == pytest.approx((cost["a"] - cost["swapped"]) / gain, rel=1e-6)
        assert score.over == "pairs"
    else:  # the network predicts worse than one law for all prefixes, so it does not know what b means
        assert np.isnan(score.value)
        assert "no better than one law for all prefixes" in score.reason
        assert report.scores["kl_donor"].value > report.scores["kl_single_law"].value
    assert report.scores["other_state_change"].value == pytest.approx(moved / count, rel=1e-3)
    for name, score in {"a": "kl_before", "b": "kl_donor", "swapped": "kl_after"}.items():
        assert report.scores[score].value == pytest.approx(np.mean(by_pair[name]), rel=1e-3)
    if kind == "network":
        assert report.scores["self_change"].value == pytest.approx(0, abs=1e-4)
    assert report.series["by_layer"]["layer"][-1] == ALL_LAYERS


def test_futures_follow_the_donor(world: TaxiWorld) -> None:
    pairs = draw_pairs(world, 0, 30, "swap", same=False)
    tokens, laws, open_ = futures(world, pairs.second, 3, streams.uniform(0, 30, 3, "t"))
    states = world.after(pairs.second)
    for k in range(3):
        assert laws[:, k] == pytest.approx(world.law(states))
        legal = world.legal(states)[np.arange(30), world.vocabulary.action_of_token[tokens[:, k]]]
        assert legal[open_[:, k]].all()
        states = world.step(states, tokens[:, k])
    assert change(np.zeros((1, 2, 4)), np.zeros((1, 2, 4)), np.ones((1, 2))) == pytest.approx(0)
