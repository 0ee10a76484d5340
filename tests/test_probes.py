"""State and belief probes against literal readings, and against published numbers of RRXOR and Mess3."""

from __future__ import annotations

import itertools
from collections import defaultdict

import numpy as np
import pytest
from small_maps import small_map

from worldbench.baselines.options import GPTConfig
from worldbench.baselines.references import Oracle
from worldbench.baselines.untrained import make_untrained
from worldbench.core import streams
from worldbench.core.abilities import exact_law
from worldbench.core.eval_config import eval_config
from worldbench.core.world import Documents
from worldbench.envs.hmm.config import HMMConfig
from worldbench.envs.hmm.library import named
from worldbench.envs.hmm.world import FIRST, HMM
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.metrics import belief_probe, state_probe
from worldbench.metrics.belief_geometry import correlation, draw_pairs
from worldbench.metrics.belief_lookup import table_groups
from worldbench.metrics.belief_probe import distinct_prefixes
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.hidden_states import positions
from worldbench.metrics.linear_probe import (
    fit_affine,
    fit_discriminant,
    fourier_features,
    left_out,
    mean_by_group,
    r_squared,
)
from worldbench.metrics.probe_scores import PAIRS, Part

LONG = HMM(HMMConfig(process="rrxor", length=9))


class Features(Oracle):
    """The oracle with hidden states of a test's making: features(prefix) -> numbers."""

    hidden_name = "features"

    def __init__(self, world, features) -> None:
        super().__init__(world)
        self.features = features

    def hidden(self, tokens: np.ndarray) -> np.ndarray:
        return np.array(
            [[self.features(tuple(row[: t + 1])) for t in range(len(row))] for row in tokens.tolist()], np.float32
        )


@pytest.mark.parametrize("seed", [0, 1])
def test_state_probe_is_a_probe_fitted_on_other_documents(seed: int) -> None:
    world = TaxiWorld(TaxiConfig(min_moves=2, max_moves=8), small_map(9, seed, extra=8))
    noise = {}

    def features(prefix: tuple[int, ...]) -> np.ndarray:
        return (
            noise.setdefault(prefix, streams.generator("test features", *prefix).normal(size=12))
            + 3 * np.eye(12)[prefix[-1] % 12]
        )

    model, settings = Features(world, features), eval_config(probe_documents=60)
    report = state_probe.METRIC.measure(Evaluation(world, model, settings))
    documents = world.sample(0, "test", 0, 60)
    x, node, metres, owner = [], [], [], []
    for i in range(60):
        at, prompt = int(documents.tokens[i, 0]) - world.first_place, 2
        for t in range(prompt, documents.length[i]):  # a prediction is made after t tokens
            x.append(features(tuple(documents.tokens[i, :t].tolist())).astype(np.float32))
            node.append(at)
            metres.append(world.graph().metres[at])
            owner.append(i)
            if t < documents.length[i] - 1:
                at = int(world.graph().successor[at, documents.tokens[i, t] - 2])
    x, node, metres, even = np.array(x, float), np.array(node), np.array(metres), np.array(owner) % 2 == 0
    hit, predicted = np.zeros(len(x), bool), np.zeros(metres.shape)
    for fit in (even, ~even):
        hit[~fit] = fit_discriminant(x[fit], node[fit], 9)(x[~fit]).argmax(axis=1) == node[~fit]
        predicted[~fit] = fit_affine(x[fit], metres[fit])(x[~fit])
    assert report.scores["node"].value == pytest.approx(hit.mean())
    assert report.scores["metres_r2"].value == pytest.approx(r_squared(metres, predicted))
    assert report.scores["metres_median_error"].value == pytest.approx(
        np.median(np.linalg.norm(predicted - metres, axis=1))
    )
    assert {s.over for s in report.scores.values() if s.interval} == {"documents"}
    assert 0.05 < report.scores["node"].value < 0.95


def test_state_probe_reads_the_exact_state_and_nothing_off_a_constant() -> None:
    world = TaxiWorld(TaxiConfig(map="city:40", min_moves=3, max_moves=12))
    settings = eval_config(probe_documents=300)
    exact = state_probe.METRIC.measure(Evaluation(world, Oracle(world), settings))
    assert exact.scores["node"].value == 1
    assert exact.scores["metres_r2"].value == pytest.approx(1, abs=1e-6)
    assert exact.scores["node_shuffled"].value < 0.2
    blank = state_probe.METRIC.measure(Evaluation(world, Features(world, lambda prefix: np.zeros(3)), settings))
    assert blank.scores["node"].value < 0.1
    assert blank.scores["metres_r2"].value == pytest.approx(0, abs=0.05)


def every_prefix(lengths: range) -> tuple[Documents, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Every possible prefix of RRXOR of these lengths as a document without start token, with its probability, belief
    and law."""
    process = named("rrxor")
    rows, weight, belief = [], [], []
    for n in lengths:
        for tokens in itertools.product((0, 1), repeat=n):
            v = process.start
            for x in tokens:
                v = v @ process.transition[x]
            if v.sum() > 1e-12:
                rows.append(tokens)
                weight.append(v.sum())
                belief.append(v / v.sum())
    length = np.array([len(r) for r in rows])
    tokens = np.array([[*r, *[0] * (max(lengths) - len(r))] for r in rows])
    b = np.array(belief)
    return Documents(tokens, length, np.zeros_like(length)), length, np.array(weight), b, process.law(b)


def test_tables_of_the_last_tokens_reach_what_is_published() -> None:
    """R^2 and excess loss of tables of the last k = 5 .. 9 tokens, over prefixes of 1 .. 10
    tokens; the law as regressor .246."""
    documents, length, w, belief, law = every_prefix(range(1, 11))
    w = w / w.sum()
    r2, excess = [], []
    for k in range(5, 10):
        group = table_groups(documents, np.arange(len(w)), length, k)
        mean, _ = mean_by_group(group, belief, w, group.max() + 1)
        r2.append(r_squared(belief, mean[group], w))
        mean, _ = mean_by_group(group, law, w, group.max() + 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            excess.append(w @ np.where(law > 0, law * np.log(law / mean[group]), 0).sum(axis=1))
    assert r2 == pytest.approx([0.756, 0.858, 0.928, 0.965, 0.990], abs=6e-4)
    assert excess == pytest.approx([0.0241, 0.0160, 0.0073, 0.0035, 0.0012], abs=6e-5)
    assert r_squared(belief, fit_affine(law, belief, w)(law), w) == pytest.approx(0.246, abs=2e-3)


def test_belief_probe_is_a_literal_one() -> None:
    def features(prefix: tuple[int, ...]) -> list[float]:
        last = (*[0] * 3, *prefix)[-3:]
        return [*np.eye(FIRST + 2)[list(last)].ravel(), len(prefix) / 10]

    report = belief_probe.METRIC.measure(Evaluation(LONG, Features(LONG, features), eval_config(probe_documents=200)))
    documents = LONG.sample(0, "test", 0, 200)
    count: dict[tuple[int, ...], int] = defaultdict(int)
    for row, n in zip(documents.tokens.tolist(), documents.length):
        for t in range(1, n):
            count[tuple(row[:t])] += t > 1  # not the bare start token
    count = {prefix: n for prefix, n in count.items() if n}
    scored = report.arrays
    assert len(scored["weight"]) == len(count)
    process = named("rrxor")
    by_belief = defaultdict(list)
    for prefix, times in count.items():
        by_belief[len(prefix), times].append(
            process.beliefs(np.array([prefix[1:]], int) - FIRST)[0][-1] if len(prefix) > 1 else process.start
        )
    for b, n, w in zip(scored["belief"], scored["prefix_length"], scored["weight"]):
        assert any(np.allclose(b, other) for other in by_belief[n, int(w)])
    w, b, p = scored["weight"], scored["belief"], scored["predicted"]
    literal = 1 - sum(w[i] * ((b[i] - p[i]) ** 2).sum() for i in range(len(w))) / sum(
        w[i] * ((b[i] - (w @ b) / w.sum()) ** 2).sum() for i in range(len(w))
    )
    assert report.scores["r2"].value == pytest.approx(literal)
    q = np.clip(p, 1e-6, 1)
    q /= q.sum(1, keepdims=True)
    kl = [sum(x * np.log(x / y) for x, y in zip(b[i], q[i]) if x > 0) for i in range(len(w))]
    assert report.scores["kl"].value == pytest.approx(w @ kl / w.sum())
    assert report.series["lookup"]["k"] == list(range(1, 9))
    assert report.series["lookup"]["r2"][:5] == sorted(report.series["lookup"]["r2"][:5])
    assert 0 < report.scores["r2"].value < 0.3  # an exclusive or is no sum of its parts


def test_lookup_is_the_literal_table() -> None:
    report = belief_probe.METRIC.measure(Evaluation(LONG, Oracle(LONG), eval_config(probe_documents=100)))
    documents = LONG.sample(0, "test", 0, 100)
    at = positions(LONG, documents)
    chosen, where = distinct_prefixes(documents, at)
    w = where.weight()
    rows = [documents.tokens[at.row[i], : at.prefix_length[i]].tolist() for i in chosen]
    assert len({tuple(r) for r in rows}) == len(rows)
    assert w.sum() == len(at.row) - 100
    beliefs = np.array([named("rrxor").beliefs(np.array([r[1:]], int) - FIRST)[0][-1] for r in rows])
    laws = exact_law(LONG, at.states.take(chosen))
    assert laws is not None
    beliefs = np.concatenate([beliefs, laws], axis=1)
    size = beliefs.shape[1] - laws.shape[1]
    shorter = np.concatenate([np.full(beliefs[:, :size].shape, 1 / size), np.full(laws.shape, 1 / laws.shape[1])], 1)
    series = report.series["lookup"]
    for k, found, kl in zip([0, *series["k"]], [None, *series["r2"]], [None, *series["kl"]]):
        table = defaultdict(list)
        for i, r in enumerate(rows):
            table[tuple(([-1] * k + r)[len(r) :])].append(i)
        guess = np.zeros_like(beliefs)
        for members in table.values():
            for i in members:
                others = [j for j in members if j != i]
                guess[i] = (w[others] @ beliefs[others] + shorter[i]) / (w[others].sum() + 1)
        shorter = guess
        assert found is None or found == pytest.approx(r_squared(beliefs[:, :size], guess[:, :size], w))
        losses = [sum(p * np.log(p / q) for p, q in zip(a, b) if p > 0) for a, b in zip(laws, guess[:, size:])]
        # as excess_loss.kl: over every predicted token, also the first ones, which every table predicts exactly
        assert kl is None or kl == pytest.approx(w @ losses / len(at.row))


@pytest.mark.slow
def test_belief_probe_controls() -> None:
    rrxor = belief_probe.METRIC.measure(Evaluation(HMM(), Oracle(HMM()), eval_config()))
    assert rrxor.scores["r2"].value == pytest.approx(1, abs=1e-6)
    assert rrxor.scores["law_r2"].value == pytest.approx(0.246, abs=0.03)
    assert rrxor.scores["r2_shuffled"].value < 0.1
    plain = belief_probe.METRIC.measure(Evaluation(HMM(), make_untrained(HMM(), GPTConfig(layers=4)), eval_config()))
    for name in ("r2", "r2_untrained", "r2_all_layers_untrained"):
        assert -0.05 < plain.scores[name].value < 0.35
    mess3 = HMM(HMMConfig(process="mess3"))
    report = belief_probe.METRIC.measure(Evaluation(mess3, Oracle(mess3), eval_config(probe_documents=500)))
    assert report.scores["law_r2"].value == pytest.approx(1, abs=1e-6)
    # Worlds whose state is known have no belief; models without hidden states no probe.
    city = TaxiWorld(TaxiConfig(map="city:20", min_moves=2, max_moves=8))
    assert "'taxi' has no belief" in str(belief_probe.METRIC.not_applicable(city, Oracle(HMM())))


def test_each_prefix_is_predicted_by_the_others() -> None:
    def features(prefix: tuple[int, ...]) -> np.ndarray:
        return streams.generator("half features", *prefix).normal(size=4) + 2 * np.eye(4)[prefix[-1]]

    settings = eval_config(probe_documents=80, probe_features=30)
    report = belief_probe.METRIC.measure(Evaluation(LONG, Features(LONG, features), settings))
    documents = LONG.sample(0, "test", 0, 80)
    at = positions(LONG, documents)
    chosen, where = distinct_prefixes(documents, at)
    assert at.prefix_length[chosen].min() == 2
    rows, w = [tuple(documents.tokens[at.row[i], : at.prefix_length[i]].tolist()) for i in chosen], where.weight()
    for i, prefix in enumerate(rows):
        inside = [d for d, tokens in enumerate(documents.tokens.tolist()) if tuple(tokens[: len(prefix)]) == prefix]
        assert sorted(where.document[where.row == i]) == inside
    x = np.array([features(r) for r in rows]).astype(np.float32).astype(float)
    belief = at.states.take(chosen).belief
    predicted = left_out(x, belief, w)
    wide = left_out(fourier_features(x, 30, streams.generator("evaluation", 0, "belief features")), belief, w)
    assert report.arrays["predicted"] == pytest.approx(predicted, abs=1e-6)
    assert report.scores["r2_nonlinear"].value == pytest.approx(r_squared(belief, wide, w), abs=1e-5)
    first, second = draw_pairs(w, streams.generator("evaluation", 0, "belief distances"))
    for name, code in (("belief", belief), ("probed", predicted), ("hidden", x), ("law", LONG.process.law(belief))):
        assert report.arrays[f"distance_{name}"] == pytest.approx(
            np.sqrt(((code[first] - code[second]) ** 2).sum(1)), abs=1e-5
        )
    expected = np.corrcoef(report.arrays["distance_belief"], report.arrays["distance_law"])[0, 1]
    assert report.scores["distance_corr_law"].value == pytest.approx(expected, abs=1e-5)
    # The interval of r2: two fits for each of ten divisions of the documents into halves.
    values = []
    for division in range(10):
        order = streams.generator("halves for probes", division, 80).permutation(80)
        for one in (order % 2 == 0, order % 2 == 1):
            v = where.weight(one)
            k = v > 0
            values.append(r_squared(belief[k], left_out(x[k], belief[k], v[k]), v[k]))
    reach = 2.2281388520 * np.std(values)
    assert report.scores["r2"].interval == pytest.approx(
        (report.scores["r2"].value - reach, report.scores["r2"].value + reach)
    )


def test_halves_of_a_division_share_no_document() -> None:
    for width in (1, 2):
        kept = [Part(half).kept(80, width) for half in range(2 * PAIRS)]
        assert all(k.sum() == 40 for k in kept)
        assert all((a ^ b).all() for a, b in zip(kept[::2], kept[1::2]))
        assert len({k.tobytes() for k in kept}) == 2 * PAIRS
    assert (kept[0][::2] == kept[0][1::2]).all(), "neighbors stay together"
    assert Part().kept(5).all()


def test_pairs_follow_the_weights() -> None:
    w = np.array([1.0, 0, 3, 6])
    first, second = draw_pairs(w, streams.generator("pairs"), 50_000)
    assert (first != second).all()
    assert 1 not in np.unique([first, second])
    odds = {(i, j): w[i] * w[j] for i, j in itertools.combinations((0, 2, 3), 2)}
    for (i, j), odd in odds.items():
        share = ((first == i) & (second == j) | (first == j) & (second == i)).mean()
        assert share == pytest.approx(odd / sum(odds.values()), abs=0.02)
    assert np.isnan(correlation(np.ones(5), np.arange(5.0)))
