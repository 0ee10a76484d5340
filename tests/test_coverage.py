"""The intervals of scores hold the truth as often as they say: on synthetic data, and in a few small
evaluations (slow). All metrics, over many evaluations: test_coverage_worlds.py (slow or long)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pytest
from coverage import Covered, coverage, least, synthetic
from coverage_cases import CASES, NOWHERE, SOMETIMES, WITHOUT, listed

from worldbench.core.metric import Score
from worldbench.core.registry import metrics
from worldbench.core.streams import generator

REPEATS = 400
Clusters = Callable[[np.random.Generator, int, float], tuple[np.ndarray, np.ndarray]]


def independent(rng: np.random.Generator, n: int, p: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions of documents that hit independently."""
    tried = rng.integers(5, 30, n)
    return rng.binomial(tried, p), tried


def alike(rng: np.random.Generator, n: int, p: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions of documents whose shares differ from document to document."""
    tried = rng.integers(5, 30, n)
    return rng.binomial(tried, rng.beta(2 * p, 2 * (1 - p), n)), tried


def whole(rng: np.random.Generator, n: int, p: float) -> tuple[np.ndarray, np.ndarray]:
    """Documents that hit at every position or at none."""
    tried = rng.integers(5, 30, n)
    return tried * (rng.random(n) < p), tried


@pytest.mark.parametrize("clusters", [independent, alike, whole])
@pytest.mark.parametrize("p", [0.001, 0.05, 0.5, 0.95, 0.999])
@pytest.mark.parametrize("n", [30, 200])
def test_shares_over_documents_cover(clusters: Clusters, p: float, n: int) -> None:
    rng = generator("test", "shares", clusters.__name__, n, round(1000 * p))
    found = synthetic(lambda: Score.share(*clusters(rng, n, p), over="documents"), p, REPEATS)
    assert found.with_interval == REPEATS
    assert found.share >= least(REPEATS), found
    low, high = Score.share(*clusters(rng, n, p)).interval or (-1, 2)
    assert 0 <= low < high <= 1


def test_a_share_over_many_positions_is_not_as_wide_as_one_over_documents() -> None:
    hits, tried = independent(generator("test", "narrow share"), 200, 0.5)
    low, high = Score.share(hits, tried).interval or (0, 1)
    assert 0.02 < high - low < 0.06, "a rate over 200 documents has a width of .14, one over 3,500 positions of .03"


@pytest.mark.parametrize("p", [0.002, 0.5, 0.998])
def test_rates_cover(p: float) -> None:
    rng = generator("test", "rates", round(1000 * p))
    assert synthetic(lambda: Score.rate(rng.random(300) < p), p, REPEATS).share >= least(REPEATS)


def test_means_and_ratios_cover() -> None:
    rng = generator("test", "means")
    assert synthetic(lambda: Score.mean(rng.exponential(2, 100)), 2, REPEATS).share >= least(REPEATS)

    def ratio() -> Score:
        count = rng.integers(1, 30, 100).astype(float)
        return Score.ratio(count * 0.3 + rng.normal(0, 1, 100) * count, count)  # correlated within a document

    assert synthetic(ratio, 0.3, REPEATS).share >= least(REPEATS)


def test_infinite_values_have_no_interval() -> None:
    total = np.array([1.0, np.inf, 2.0])
    assert Score.ratio(total, np.ones(3)) == Score(np.inf, 3)
    found = coverage([Score.ratio(total, np.ones(3)), Score(1.0, 3, (0.0, 2.0), "documents")])
    assert found == Covered(1.0, 1, 1, 0, 1, "documents")


def test_positions_taken_for_documents_are_found_out() -> None:
    """The rule must be able to fail: documents hit as a whole, and every position counts as a trial."""
    rng = generator("test", "naive")

    def naive() -> Score:
        hits, tried = whole(rng, 60, 0.7)
        return Score.rate(np.arange(tried.sum()) < hits.sum())

    assert synthetic(naive, 0.7, REPEATS).share < least(REPEATS)


def test_every_metric_has_a_case() -> None:
    named = {name for case in CASES.values() for name in case.metrics}
    assert named == {entry.name for entry in metrics if not entry.plugin}


@pytest.mark.slow
def test_every_score_has_an_interval_or_a_reason() -> None:
    """One evaluation of each case. A score that is missing in one case has a value in another."""
    found: dict[str, list[Score]] = defaultdict(list)
    for case in CASES.values():
        world, models = case.built()
        for metric in case.metrics:
            assert metrics[metric].load().not_applicable(world, models[metric]) is None
        for name, scores in case.scores(1).items():
            found[name] += scores
    for name, scores in found.items():
        known = [score for score in scores if not np.isnan(score.value)]
        assert all(score.reason for score in scores if np.isnan(score.value)), name
        assert bool(known) != listed(name, NOWHERE), name
        for score in known:
            if score.interval is None:
                assert listed(name, WITHOUT | SOMETIMES), f"{name} has no interval"
            else:
                assert not listed(name, WITHOUT), f"{name} has an interval"
                assert score.over, name
                assert score.interval[0] <= score.value <= score.interval[1], name


@pytest.mark.slow
def test_a_few_metrics_cover() -> None:
    """Forty evaluations; the metrics that are scored in a few milliseconds."""
    names = ("next_token", "valid_trajectories", "excess_loss", "lookahead")
    for name, scores in CASES["rides"].scores(40, names).items():
        found = coverage(scores)
        assert found.with_interval == 40, name
        assert found.share >= least(40), found.line(name)
