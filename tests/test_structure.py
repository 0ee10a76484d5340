"""Sequence compression and distinction against a literal reading, one trial and one token at a time."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
import pytest
from small_maps import small_map
from some_cases import others_slow

from worldbench.baselines.corrupted import Corrupted
from worldbench.baselines.corrupted_config import CorruptedConfig
from worldbench.baselines.from_states import StateDecoder
from worldbench.baselines.references import Oracle, RandomLegal, Uniform
from worldbench.core.eval_config import eval_config
from worldbench.core.metric import Report
from worldbench.core.model import SequenceModel, log_softmax
from worldbench.core.registry import metrics
from worldbench.core.streams import generator, uniform
from worldbench.core.world import OPEN, Documents
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.metrics.acceptance import Pairs, by_law, by_map, draw_pairs, true_boundary
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.goal_pairs import goal_pairs
from worldbench.metrics.rollout import probabilities
from worldbench.metrics.sampled_suffixes import sample_suffixes
from worldbench.metrics.sequence_compression import jensen_shannon
from worldbench.metrics.suffixes import accepted, score_suffixes

CITY = TaxiConfig(map="city:40", min_moves=3, max_moves=14)
EPS = 0.01


@pytest.fixture(scope="module", params=["city", 0, pytest.param(1, marks=pytest.mark.slow)])
def world(request: pytest.FixtureRequest) -> TaxiWorld:
    return TaxiWorld(CITY) if request.param == "city" else TaxiWorld(CITY, small_map(12, request.param, extra=14))


def models(world: TaxiWorld) -> list[SequenceModel]:
    return [Oracle(world), Corrupted(world, CorruptedConfig(rewired=4, noise=0.7), 1), RandomLegal(world)]


def next_law(model: SequenceModel, prefix: list[int]) -> np.ndarray:
    return _law(model, tuple(prefix))


@functools.cache
def _law(model: SequenceModel, prefix: tuple[int, ...]) -> np.ndarray:
    return probabilities(model.logits(np.array([prefix])))[0, -1]


@functools.cache
def exact(world: TaxiWorld) -> Oracle:
    return Oracle(world)


def word(d: Documents, i: int) -> list[int]:
    return d.tokens[i, : d.length[i]].tolist()


def literal_accepts(model: SequenceModel, prefix: list[int], suffix: list[int]) -> bool:
    return all(next_law(model, prefix + suffix[:k])[x] > EPS for k, x in enumerate(suffix))


def literal_truth(world: TaxiWorld, kind: str, prefix: list[int], suffix: list[int]) -> bool:
    g, first = world.graph(), world.first_place
    at, goal, moves = prefix[0] - first, prefix[1] - first, 0
    oracle = exact(world)
    for k, x in enumerate(prefix[2:] + suffix):
        in_suffix = k >= len(prefix) - 2
        if x == world.vocabulary.end:
            legal, nxt = at == goal, None
        elif 2 <= x < first and g.successor[at, x - 2] >= 0:
            legal, nxt = True, g.successor[at, x - 2]
        else:
            legal, nxt = False, None
        if in_suffix and kind == "law":
            legal = legal and next_law(oracle, (prefix + suffix)[: k + 2])[x] > EPS
        if not legal:
            return False
        if nxt is None:
            return k == len(prefix) + len(suffix) - 3
        at, moves = nxt, moves + 1
    return True


def test_pairs_are_histories_of_their_states(world: TaxiWorld) -> None:
    same, apart = (draw_pairs(world, 0, 60, "x", same=s) for s in (True, False))
    for pairs, equal in ((same, True), (apart, False)):
        a, b = world.after(pairs.first), world.after(pairs.second)
        assert len(pairs) + pairs.dropped == 60
        assert (a.status == OPEN).all()
        assert (pairs.first.length == pairs.second.length).all()
        assert ((world.key(a)[0] == world.key(b)[0]).all(1) == equal).all()
        assert (pairs.first.tokens != pairs.second.tokens).any(1).all()
        room = np.minimum(world.distance(a), world.distance(b)) + (pairs.first.length - 2)
        assert (room <= world.longest - 4).all()
    again = draw_pairs(world, 0, 25, "x", same=True)
    n = min(20, len(again))
    assert [word(again.first, i) for i in range(n)] == [word(same.first, i) for i in range(n)]


@pytest.mark.parametrize("which", others_slow([0, 1, 2], 0))
def test_suffixes_are_sampled_one_token_at_a_time(which: int, world: TaxiWorld) -> None:
    model = models(world)[which]
    pairs = draw_pairs(world, 0, 12, "x", same=which == 0)
    s = sample_suffixes(world, model, pairs, 0, "x", 4, EPS)
    for i, j in itertools.product(range(len(pairs)), range(4)):
        u = uniform(i, 1, 4 * world.longest, "evaluation", 0, "x suffixes")[0].reshape(4, -1)[j]
        one, two = word(pairs.first, i), word(pairs.second, i)
        suffix: list[int] = []
        rejected = False
        while len(suffix) < world.longest - (len(one) - 2):
            law = next_law(model, one + suffix)
            allowed = np.where(law > EPS, law, 0)
            if not allowed.any():
                break
            x = int(np.searchsorted(np.cumsum(allowed), u[len(suffix)] * np.cumsum(allowed)[-1], side="right"))
            rejected = next_law(model, two + suffix)[x] <= EPS
            suffix.append(x)
            if rejected or x == world.vocabulary.end:
                break
        assert s.tokens[i, j, : s.length[i, j]].tolist() == suffix
        assert bool(s.rejected[i, j]) == rejected


class Fed(Oracle):
    """The exact model; counts the tokens that its decoders are fed after the prefixes."""

    tokens = 0

    def decoder(self, *of: Any, **more: Any) -> StateDecoder:
        decoder = super().decoder(*of, **more)
        advance = decoder.advance

        def counted(tokens: np.ndarray) -> None:
            self.tokens += tokens.size
            advance(tokens)

        decoder.advance = counted  # type: ignore[method-assign]
        return decoder


def test_suffixes_with_one_beginning_are_decoded_once(world: TaxiWorld) -> None:
    model, suffixes = Fed(world), 200
    pairs = draw_pairs(world, 0, 3, "x", same=True)
    s = sample_suffixes(world, model, pairs, 0, "x", suffixes, EPS)
    different = sum(
        len({tuple(row[:k]) for row, long in zip(trial.tolist(), lengths) for k in range(1, long)})
        for trial, lengths in zip(s.tokens, s.length)
    )
    least, each = 2 * different, 2 * int((s.length - 1).sum())
    assert least <= model.tokens < 1.5 * least < 0.8 * each


@pytest.mark.parametrize("kind", ["map", "law"])
def test_true_boundaries_are_all_there_are(kind: str, world: TaxiWorld) -> None:
    pairs = draw_pairs(world, 0, 8, "x", same=False)
    accept = by_map(world) if kind == "map" else by_law(world, EPS)
    b = true_boundary(world, accept, world.after(pairs.first), world.after(pairs.second), 3)
    mine = {(int(o), tuple(t[:n])) for o, t, n in zip(b.owner, b.tokens.tolist(), b.length)}
    truth = set()
    for i in range(len(pairs)):
        one, two = word(pairs.first, i), word(pairs.second, i)
        level: list[list[int]] = [[]]
        for _ in range(3):
            nxt = []
            for s, x in itertools.product(level, world.vocabulary.actions):
                a, c = literal_truth(world, kind, one, [*s, x]), literal_truth(world, kind, two, [*s, x])
                if a and not c:
                    truth.add((i, (*s, x)))
                elif a and c:
                    nxt.append([*s, x])
            level = nxt
    assert mine == truth
    assert len(mine) == len(b.owner)


@pytest.mark.parametrize("which", others_slow([0, 1, 2], 0))
def test_scores_are_the_literal_ones(which: int, world: TaxiWorld) -> None:
    model = models(world)[which]
    settings = eval_config(structure_trials=8, suffixes=4, recall_depth=3)
    evaluation = Evaluation(world, model, settings)
    report = metrics["sequence_compression"].load().measure(evaluation)
    pairs = draw_pairs(world, 0, 8, "compression", same=True)
    s = sample_suffixes(world, model, pairs, 0, "compression", 4, EPS)
    accepted, illegal = [], []
    for i in range(len(pairs)):
        suffixes = [s.tokens[i, j, : s.length[i, j]].tolist() for j in range(4)]
        fine = [literal_accepts(model, word(pairs.second, i), x) for x in suffixes]
        accepted.append(all(fine))
        two = word(pairs.second, i)
        bad = [x for ok, x in zip(fine, suffixes) if not ok]
        illegal.append(
            any(literal_truth(world, "map", two, x[:-1]) and not literal_truth(world, "map", two, x) for x in bad)
        )
    assert report.scores["compression"].value == pytest.approx(np.mean(accepted))
    if which != 1:
        assert report.scores["compression_illegal"].value == pytest.approx(1 - np.mean(illegal))

    report = metrics["sequence_distinction"].load().measure(evaluation)
    pairs = draw_pairs(world, 0, 8, "distinction", same=False)
    literal_distinction(world, model, pairs, "distinction", "", report)
    alike = goal_pairs(world, 0, 8, "distinction goals", 3)
    pairs = Pairs(*alike, np.zeros(len(alike[0]), int), 0)
    assert len(pairs) > 5
    literal_distinction(world, model, pairs, "distinction goals", "_same_place", report)


def literal_distinction(
    world: TaxiWorld, model: SequenceModel, pairs: Pairs, name: str, place: str, report: Report
) -> None:
    """Compares a report with suffixes scored one at a time."""
    s = sample_suffixes(world, model, pairs, 0, name, 4, EPS)
    for kind in ("map", "law"):
        accept = by_map(world) if kind == "map" else by_law(world, EPS)
        b = true_boundary(world, accept, world.after(pairs.first), world.after(pairs.second), 3)
        precision, recall = [], []
        for i in range(len(pairs)):
            one, two = word(pairs.first, i), word(pairs.second, i)
            cut = [s.tokens[i, j, : s.length[i, j]].tolist() for j in range(4) if s.rejected[i, j]]
            right = [literal_truth(world, kind, one, x) and not literal_truth(world, kind, two, x) for x in cut]
            precision += [np.mean(right)] if right else []
            true = [x[:n] for x, n, o in zip(b.tokens.tolist(), b.length, b.owner) if o == i]
            if true:
                recall.append(
                    np.mean([literal_accepts(model, one, x) and not literal_accepts(model, two, x) for x in true])
                )
        for what, values in (("precision", precision), ("recall", recall)):
            score = report.scores[f"{what}{place}_{kind}"]
            assert (score.value, score.n) == (pytest.approx(np.mean(values)), len(values))
        if kind == "map" and not place:
            mean = (sum(precision) + len(pairs) - len(precision)) / len(pairs)
            assert report.scores["precision_map_paper"].value == pytest.approx(mean)


def test_suffixes_are_scored_as_a_trie(world: TaxiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Corrupted(world, CorruptedConfig(rewired=3, noise=0.5), 0)
    pairs = draw_pairs(world, 0, 10, "x", same=False)
    b = true_boundary(world, by_map(world), world.after(pairs.first), world.after(pairs.second), 4)
    whole = score_suffixes(model, pairs.second, b.owner, b.tokens, b.length)
    for m in range(0, len(b.owner), 7):
        prefix, suffix = word(pairs.second, b.owner[m]), b.tokens[m, : b.length[m]].tolist()
        law = log_softmax(model.logits(np.array([prefix + suffix])))[0]
        assert whole[m, : len(suffix)] == pytest.approx([law[len(prefix) - 1 + k, x] for k, x in enumerate(suffix)])
        assert (whole[m, len(suffix) :] == 0).all()
    monkeypatch.setattr("worldbench.metrics.suffixes.NODES", 5)
    assert np.array_equal(score_suffixes(model, pairs.second, b.owner, b.tokens, b.length), whole)


def test_suffixes_are_followed_to_their_first_token_that_is_not_accepted(world: TaxiWorld) -> None:
    pairs = draw_pairs(world, 0, 10, "x", same=False)
    owner = np.repeat(np.arange(len(pairs)), 30)
    tokens = generator("test", "accepted").integers(1, len(world.vocabulary), (len(owner), 4))
    s = sample_suffixes(world, Oracle(world), pairs, 0, "x", 30, EPS)
    tokens[::2] = s.tokens.reshape(-1, s.tokens.shape[2])[::2, :4]  # half of them are likely ones
    length = (tokens >= 0).sum(axis=1)
    scored, model = Fed(world), Fed(world)
    log_p = score_suffixes(scored, pairs.first, owner, tokens, length)
    inside = np.arange(4)[None, :] < length[:, None]
    found = accepted(model, pairs.first, owner, tokens, length, EPS)
    assert np.array_equal(found, ((log_p > np.log(EPS)) | ~inside).all(axis=1))
    assert 0.2 < found.mean() < 0.8
    assert model.tokens < 0.7 * scored.tokens


def test_a_large_vocabulary_rejects_all() -> None:
    world = TaxiWorld(TaxiConfig(map="city:150", min_moves=3, max_moves=20))
    evaluation = Evaluation(world, Uniform(world), eval_config(structure_trials=20, suffixes=3))
    scores = metrics["sequence_compression"].load().measure(evaluation).scores
    assert (scores["compression"].value, scores["empty"].value) == (1, 1)
    scores = metrics["sequence_distinction"].load().measure(evaluation).scores
    assert (scores["precision_map_paper"].value, scores["recall_map"].value) == (1, 0)
    assert np.isnan(scores["precision_map"].value)
    assert "accepts every suffix" in scores["precision_map"].reason


def test_jensen_shannon_distance() -> None:
    from scipy.spatial.distance import jensenshannon

    rng = np.random.default_rng(np.random.Philox(1))
    p, q = rng.dirichlet(np.ones(5), 10), rng.dirichlet(np.ones(5), 10)
    p[0], q[0] = [1, 0, 0, 0, 0], [0, 1, 0, 0, 0]
    assert jensen_shannon(p, q) == pytest.approx([jensenshannon(a, b, 2) for a, b in zip(p, q)])
