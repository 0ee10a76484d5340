"""Split fidelity and merge against a literal reading: every suffix written out, every law computed from whole rows."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from small_maps import small_map

from worldbench.baselines.corrupted import Corrupted
from worldbench.baselines.corrupted_config import CorruptedConfig
from worldbench.baselines.ngram import NGram, NGramConfig
from worldbench.baselines.references import Oracle, Uniform
from worldbench.core.eval_config import eval_config
from worldbench.core.model import SequenceModel, log_softmax
from worldbench.core.registry import metrics
from worldbench.core.streams import generator
from worldbench.core.world import Documents, World
from worldbench.envs.hmm.config import HMMConfig
from worldbench.envs.hmm.world import HMM
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.metrics.acceptance import room
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.pair_suffixes import suffixes_of
from worldbench.metrics.prefix_pairs import within
from worldbench.metrics.split_merge import CLIP, SplitMerge, _one_minus_apart, errors

METRIC = metrics["split_merge"].load()


def rrxor(length: int = 12) -> HMM:
    return HMM(HMMConfig(process="rrxor", length=length))


@pytest.fixture(scope="module", params=["taxi", "rrxor"])
def world(request: pytest.FixtureRequest) -> World:
    return (
        rrxor()
        if request.param == "rrxor"
        else TaxiWorld(TaxiConfig(min_moves=2, max_moves=9), small_map(9, 3, extra=8))
    )


@functools.cache
def is_open(world: World, row: tuple[int, ...]) -> bool:
    """Can the document go on after these tokens?"""
    documents = Documents(np.array([row]), np.array([len(row)]), np.array([world.prompt_length]))
    return bool((world.outcome(world.after(documents)) == 0).all())


@functools.cache
def next_logs(model: SequenceModel, row: tuple[int, ...]) -> np.ndarray:
    """Log probabilities of the next token."""
    return log_softmax(model.logits(np.array([row])))[0, -1]


def literal_log(world: World, model: SequenceModel, prefix: list[int], suffix: tuple[int, ...]) -> float:
    """Sum of log probabilities; -inf also beyond the document's end."""
    total = 0.0
    for k, x in enumerate(suffix):
        row = (*prefix, *suffix[:k])
        if not is_open(world, row):
            return -np.inf
        total += float(next_logs(model, row)[x])
    return total


def literal_errors(
    world: World, model: SequenceModel, p: list[int], q: list[int], longest: int
) -> tuple[float, float, float]:
    oracle = Oracle(world)
    found: dict[tuple[int, ...], tuple[float, float]] = {}
    for k in range(1, longest + 1):
        for x in itertools.product(world.vocabulary.actions, repeat=k):
            lp, lq = literal_log(world, oracle, p, x), literal_log(world, oracle, q, x)
            over = False
            for prefix, log in ((p, lp), (q, lq)):
                over |= bool(np.isfinite(log) and not is_open(world, (*prefix, *x)))
            if (
                (np.isfinite(lp) or np.isfinite(lq))
                and (k == longest or over)
                and not any(x[:j] in found for j in range(1, k))
            ):
                found[x] = (lp, lq)
    gap = [0.0, 0.0, 0.0]
    total = 0.0
    for x, (lp, lq) in found.items():
        w = 0.5 * np.exp(lp) + 0.5 * np.exp(lq)
        d_w = float(np.clip(lp - lq, -CLIP, CLIP))
        mp, mq = literal_log(world, model, p, x), literal_log(world, model, q, x)
        d_m = 0.0 if mp == mq else float(np.clip(mp - mq, -CLIP, CLIP))
        total += w
        for i, value in enumerate(((d_m - d_w) ** 2, d_w**2, d_m**2)):
            gap[i] += w * value
    assert total == pytest.approx(1, abs=1e-5)
    return gap[0], gap[1], gap[2]


def test_errors_are_the_literal_ones(world: World) -> None:
    model = Corrupted(world, CorruptedConfig(rewired=0, noise=0.8, floor=1e-3), 1)
    first, second = SplitMerge._random(world, 0, 3)
    mine = errors(world, model, first, second, 3, 1024, 0, "x")
    for i in range(len(first)):
        p, q = (d.tokens[i, : d.length[i]].tolist() for d in (first, second))
        fits = min(3, world.context - max(len(p), len(q)))
        assert mine[:3, i] == pytest.approx(literal_errors(world, model, p, q, fits), abs=1e-4)


def test_suffixes_end_with_the_context(world: World) -> None:
    """Also those that are drawn. The shorter suffixes of a pair are a law too, and other pairs keep theirs."""
    first, second = SplitMerge._random(world, 0, 60)
    fits = np.minimum(room(world, first, second), 5)
    assert fits.min() < 3
    for limit in (3, 1024):
        s = suffixes_of(world, world.after(first), world.after(second), fits, limit, 0, "x")
        assert (s.length <= fits[s.owner]).all()
        assert np.bincount(s.owner, s.weight) == pytest.approx(np.ones(len(first)), abs=1e-9)
        whole = suffixes_of(world, world.after(first), world.after(second), np.full(len(first), 5), limit, 0, "x")
        for a, b in ((s, whole), (whole, s)):
            kept, other = ((fits == 5)[x.owner] for x in (a, b))
            assert np.array_equal(a.tokens[kept][:, :5], b.tokens[other][:, :5])


def test_the_interval_of_merge_covers() -> None:
    """With few pairs of a skewed denominator, an interval without its variance would be too short."""
    rng, hits, short = generator("test", "merge"), 0, 0
    for _ in range(400):
        error, truth = rng.exponential(1.0, 200), rng.exponential(2.0, 60)
        score = _one_minus_apart(error, truth)
        assert score.interval is not None
        assert score.over == "pairs"
        hits += score.interval[0] <= 0.5 <= score.interval[1]
        half = 1.96 * error.std() / 200**0.5 / truth.mean()
        short += abs(score.value - 0.5) <= half
    assert hits / 400 > 0.92
    assert short / 400 < 0.8


def test_limits(world: World) -> None:
    settings = eval_config(pairs=60)
    exact = METRIC.measure(Evaluation(world, Oracle(world), settings)).scores
    assert exact["split"].value == pytest.approx(1, abs=1e-6)
    assert exact["merge"].value == pytest.approx(1, abs=1e-6)
    blind = METRIC.measure(Evaluation(world, Uniform(world), settings)).scores
    assert blind["split"].value == pytest.approx(0, abs=1e-9)
    assert blind["merge"].value == pytest.approx(1, abs=1e-9)


def test_drawn_suffixes_estimate_the_enumerated(world: World) -> None:
    model = Corrupted(world, CorruptedConfig(rewired=0, noise=0.8, floor=1e-3), 1)
    first, second = SplitMerge._random(world, 0, 30)
    whole = errors(world, model, first, second, 5, 100_000, 0, "x")
    drawn = errors(world, model, first, second, 5, 12, 0, "x")
    assert (drawn[3] <= 12).all()
    assert (drawn[3] < whole[3]).any()
    assert drawn[:3].mean(1) == pytest.approx(whole[:3].mean(1), rel=0.25)


def test_weights_are_a_law(world: World) -> None:
    first, second = SplitMerge._random(world, 0, 40)
    for limit in (4, 1024):
        s = suffixes_of(world, world.after(first), world.after(second), np.full(len(first), 5), limit, 0, "x")
        assert np.bincount(s.owner, s.weight) == pytest.approx(np.ones(len(first)), abs=1e-9)


def test_pairs_can_be_taken_in_blocks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Corrupted(world, CorruptedConfig(rewired=0, noise=0.8, floor=1e-3), 1)
    first, second = SplitMerge._random(world, 0, 30)
    for limit in (12, 1024):
        whole = errors(world, model, first, second, 5, limit, 0, "x")
        with monkeypatch.context() as patch:
            patch.setattr("worldbench.metrics.pair_suffixes.LAWS_AT_ONCE", 1)
            # The last digits of a matrix product depend on its number of rows, on some processors.
            assert errors(world, model, first, second, 5, limit, 0, "x") == pytest.approx(whole, rel=1e-9, abs=1e-12)


def test_structure_and_noise_part_at_equal_loss() -> None:
    """On RRXOR, noise of .3 nat keeps split (.94) where a window of six tokens of the same loss
    (.017) loses it (.73)."""
    world = rrxor(16)
    scores = {}
    for name, model in {
        "noise": Corrupted(world, CorruptedConfig(rewired=0, noise=0.3)),
        "window": NGram(world, NGramConfig(order=7, documents=60_000)),
    }.items():
        e = Evaluation(world, model, eval_config(pairs=300))
        scores[name] = (METRIC.measure(e).scores, metrics["excess_loss"].load().measure(e).scores["kl"].value)
    assert scores["noise"][0]["split"].value == pytest.approx(0.94, abs=0.03)
    assert scores["window"][0]["split"].value == pytest.approx(0.73, abs=0.08)
    assert scores["noise"][0]["split_aliased"].value - scores["window"][0]["split_aliased"].value > 0.2


def test_pairs_within_groups() -> None:
    groups = np.array([0, 1, 0, 2, 0, 1, 0, 0])[:, None]
    pairs = within(groups, generator("test", "within"))
    assert len(pairs) == 3
    assert (groups[pairs[:, 0]] == groups[pairs[:, 1]]).all()
    assert len(np.unique(pairs)) == pairs.size
    assert within(np.empty((0, 1), int), generator("x")).shape == (0, 2)
